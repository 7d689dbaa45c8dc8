"""Selection of the preparation by name.

``digit`` is for handwritten digits, ``photo`` for everything else; training evaluates with the same functions that the
service uses. ``center-crop`` and ``squash`` are for networks from other projects; their parameters are in the card. A
picture that already has the model's size (and, for ``digit``, MNIST's framing) is unchanged by most of them.
"""

import functools
import math
from collections.abc import Callable
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import Preparation, ResizeParameters
from models.preparation.digit import SIDE, digit, is_mnist
from models.preparation.photo import photo
from models.preparation.resize import center_crop, squash
from models.preparation.subject import LEAST

Pixels = NDArray[np.uint8]

_DRAFT_GAP = 3  # decoded pixels per output pixel, so that the final resize hides the draft


def preparer(
    preparation: Preparation, image_shape: tuple[int, ...], resize: ResizeParameters | None = None
) -> Callable[[Image.Image], Pixels]:
    """Return the function from a picture (L or RGB) to an array.

    Args:
        preparation: of the card.
        image_shape: (H, W) or (H, W, 3), of the graph.
        resize: of the card; required by ``center-crop`` and ``squash``.

    Raises:
        ValueError: the preparation cannot produce that shape, or its parameters are missing.
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
        case "center-crop" | "squash":
            return _resizer(image_shape, resize)
        case _:
            assert_never(preparation)


def _resizer(image_shape: tuple[int, ...], resize: ResizeParameters | None) -> Callable[[Image.Image], Pixels]:
    if resize is None:
        raise ValueError("center-crop and squash: expected parameters of the resize, got None")
    if len(image_shape) != 2 and (len(image_shape) != 3 or image_shape[2] != 3):
        raise ValueError(f"center-crop and squash: expected image shape (H, W) or (H, W, 3), got {image_shape}")
    interpolation = resize.interpolation
    if resize.side is None:
        return functools.partial(squash, image_shape=image_shape, interpolation=interpolation)
    return functools.partial(center_crop, image_shape=image_shape, side=resize.side, interpolation=interpolation)


def prepared_check(
    preparation: Preparation, image_shape: tuple[int, ...], resize: ResizeParameters | None = None
) -> Callable[[Pixels], bool]:
    """Return the function that tells, cheaply, whether the preparation leaves pixels unchanged.

    The pixels are uint8, (H, W) or (H, W, 3). See :func:`preparer` for the arguments.
    """
    if preparation == "digit":
        return is_mnist
    if resize is not None and resize.side not in {None, min(image_shape[:2])}:
        return lambda _pixels: False
    return lambda pixels: pixels.shape == image_shape


def draft_side(preparation: Preparation, image_shape: tuple[int, ...]) -> int | None:
    """Return the minimum side in pixels of a reduced decode, None for full size.

    A larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size (``Image.draft``), which is much faster. Even the smallest
    subject crop remains larger than the model's input. ``center-crop`` and ``squash`` need all pixels.
    """
    return math.ceil(_DRAFT_GAP * max(image_shape[:2]) / LEAST) if preparation == "photo" else None
