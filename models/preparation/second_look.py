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

MAX_PIXELS = 1_000_000  # of a picture whose other framings are wanted; a larger one is reduced

Pixels = NDArray[np.uint8]
OtherFramings = Callable[[Image.Image, Pixels], Sequence[Pixels]]


def second_look(preparation: Preparation) -> OtherFramings | None:
    """Return the function that frames a picture in other ways, None for a preparation that has one framing only.

    Its arguments are the picture, L or RGB, and the pixels of its usual framing, which the result does not contain.
    """
    return _reduce_and_frame if preparation == "digit" else None


def reduce_picture(picture: Image.Image) -> Image.Image:
    """Reduce a picture to at most MAX_PIXELS, which is all that its other framings are made from."""
    factor = math.ceil(math.sqrt(picture.width * picture.height / MAX_PIXELS))
    while math.ceil(picture.width / factor) * math.ceil(picture.height / factor) > MAX_PIXELS:
        factor += 1
    return picture.reduce(factor) if factor > 1 else picture


def choose_framing(familiarities: Sequence[float]) -> int:
    """Return the index of the most familiar framing, or 0, the first framing, if no other one is familiar."""
    best = max(range(len(familiarities)), key=familiarities.__getitem__)
    return best if familiarities[best] >= FAMILIARITY_THRESHOLD else 0


def _reduce_and_frame(picture: Image.Image, usual: Pixels) -> Sequence[Pixels]:
    framings = other_framings(reduce_picture(picture))
    return [pixels for pixels in framings if not np.array_equal(pixels, usual)]
