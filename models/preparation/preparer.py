"""Selection of the preparation by name.

``digit`` is for handwritten digits, ``photo`` for everything else. Training evaluates with the same functions
that the service uses. A picture that already has the model's size (and, for ``digit``, MNIST's framing) is unchanged.
"""

import functools
import math
from collections.abc import Callable
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import Preparation
from models.preparation.digit import SIDE, digit, is_mnist
from models.preparation.photo import photo
from models.preparation.subject import LEAST

Pixels = NDArray[np.uint8]

_DRAFT_GAP = 3  # decoded pixels per output pixel, so that the final resize hides the draft


def preparer(preparation: Preparation, image_shape: tuple[int, ...]) -> Callable[[Image.Image], Pixels]:
    """Return the function from a picture (L or RGB) to an array.

    Raises:
        ValueError: the preparation cannot produce that shape.
    """
    match preparation:
        case "digit":
            if image_shape != (SIDE, SIDE):
                raise ValueError(f"digit: expected image shape (28, 28), got {image_shape}")
            return digit
        case "photo":
            if len(image_shape) != 3 or image_shape[2] != 3:
                raise ValueError(f"photo: expected image shape (H, W, 3), got {image_shape}")
            return functools.partial(photo, size=image_shape[:2])
        case _:
            assert_never(preparation)


def prepared_check(preparation: Preparation, image_shape: tuple[int, ...]) -> Callable[[Pixels], bool]:
    """Return the function that tells, cheaply, whether the preparation leaves pixels unchanged.

    The pixels are uint8, (H, W) or (H, W, 3).
    """
    if preparation == "digit":
        return is_mnist
    return lambda pixels: pixels.shape == image_shape


def draft_side(preparation: Preparation, image_shape: tuple[int, ...]) -> int | None:
    """Return the minimum side in pixels of a reduced decode, None for full size.

    A larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size (``Image.draft``), which is much faster. Even the smallest
    subject crop remains larger than the model's input.
    """
    return math.ceil(_DRAFT_GAP * max(image_shape[:2]) / LEAST) if preparation == "photo" else None
