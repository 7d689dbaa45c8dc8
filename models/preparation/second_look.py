"""Second look at a picture whose prepared pixels are unfamiliar to the model.

A preparation may have framed the wrong part of the picture. Then other framings are classified too, and the most
familiar one counts. Pictures that are familiar at first cost nothing more.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import Preparation
from models.contract import FAMILIARITY_THRESHOLD
from models.preparation.digit import other_framings

MOST_PIXELS = 1_000_000  # of a picture whose other framings are looked for; a larger one is reduced

OtherFramings = Callable[[Image.Image], Sequence[NDArray[np.uint8]]]


def second_look(preparation: Preparation) -> OtherFramings | None:
    """Return the function from a picture (L or RGB) to its other framings, None for a preparation that has none."""
    return _reduce_and_frame if preparation == "digit" else None


def reduce_picture(picture: Image.Image) -> Image.Image:
    """Reduce a picture to at most MOST_PIXELS; the framings of the result are those of the picture."""
    factor = math.ceil(math.sqrt(picture.width * picture.height / MOST_PIXELS))
    return picture.reduce(factor) if factor > 1 else picture


def choose_framing(familiarities: Sequence[float]) -> int:
    """Return the index of the most familiar framing, or 0, the first framing, if no other one is familiar."""
    best = max(range(len(familiarities)), key=familiarities.__getitem__)
    return best if familiarities[best] >= FAMILIARITY_THRESHOLD else 0


def _reduce_and_frame(picture: Image.Image) -> Sequence[NDArray[np.uint8]]:
    return other_framings(reduce_picture(picture))
