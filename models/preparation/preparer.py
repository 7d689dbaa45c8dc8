"""The preparation of a model by name: ``digit`` for handwritten digits, ``photo`` for everything else.

Training measures with these functions and the service serves with them. A picture that has the model's size already,
and for ``digit`` MNIST's framing, passes unchanged.
"""

import functools
import math
from collections.abc import Callable
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import Preparation
from models.preparation.digit import SIDE, digit
from models.preparation.photo import photo
from models.preparation.subject import LEAST

Pixels = NDArray[np.uint8]

_DRAFT_GAP = 3  # pixels decoded for each that is wanted, so that the resize that follows hides the draft


def preparer(preparation: Preparation, image_shape: tuple[int, ...]) -> Callable[[Image.Image], Pixels]:
    """Return the function that makes a picture (mode L or RGB) an array of a model's ``image_shape``.

    Raises:
        ValueError: the preparation cannot make that shape.
    """
    match preparation:
        case "digit":
            if image_shape != (SIDE, SIDE):
                raise ValueError(f"digit: expected a model of images (28, 28), got {image_shape}")
            return digit
        case "photo":
            if len(image_shape) != 3 or image_shape[2] != 3:
                raise ValueError(f"photo: expected a model of images (H, W, 3), got {image_shape}")
            return functools.partial(photo, size=image_shape[:2])
        case _:
            assert_never(preparation)


def draft_side(preparation: Preparation, image_shape: tuple[int, ...]) -> int | None:
    """Return the least side, in pixels, that a picture may have been reduced to before; None where all its size counts.

    A larger JPEG is then decoded at a half, a quarter or an eighth of its size (``Image.draft``), and much faster. The
    least subject that a photograph is cropped to is still larger than what the model takes.
    """
    return math.ceil(_DRAFT_GAP * max(image_shape[:2]) / LEAST) if preparation == "photo" else None
