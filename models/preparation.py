"""Any decoded picture to the pixels a model takes: ``digit`` for MNIST's framing, ``photo`` for everything else.

Training measures with these functions and the service serves with them. A picture that already is what the model was
trained on passes bit for bit.
"""

import functools
import math
from collections.abc import Callable
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import Preparation
from models.ink import find_ink
from models.subject import LEAST, find_subject

Pixels = NDArray[np.uint8]

_FIELD, _GLYPH = 28, 20  # MNIST's sides: the image, and the box its digit was fitted into
_REDUCING_GAP = 3.0  # pixels left for the last filter, per pixel of the result; before that, plain averaging
_DRAFT_GAP = 3  # pixels decoded for each that is wanted, so that the resize that follows hides the draft


def preparer(preparation: Preparation, image_shape: tuple[int, ...]) -> Callable[[Image.Image], Pixels]:
    """Return the function that makes a picture (mode L or RGB) an array of a model's ``image_shape``.

    Raises:
        ValueError: the preparation cannot make that shape.
    """
    match preparation:
        case "digit":
            if image_shape != (_FIELD, _FIELD):
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


def photo(picture: Image.Image, size: tuple[int, int]) -> Pixels:
    """Crop a picture to its subject, else to its centre, and fit it to ``size`` = (H, W).

    Shape: any picture -> (H, W, 3)
    """
    height, width = size
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    if picture.size != (width, height):
        left, top, right, bottom = find_subject(picture, aspect=size)
        filter_ = Image.Resampling.LANCZOS if right - left > width else Image.Resampling.BICUBIC
        picture = picture.resize((width, height), filter_, (left, top, right, bottom), reducing_gap=_REDUCING_GAP)
    return np.asarray(picture)


def digit(picture: Image.Image) -> Pixels:
    """Frame a handwritten digit, whatever its ink and paper, as MNIST did (LeCun et al. 1998).

    The ink is fitted into 20x20, its aspect kept, and laid into 28x28 with its centre of mass in the middle, white on
    black. An image of MNIST passes bit for bit, a blank picture as it is.

    Shape: any picture -> (28, 28)
    """
    if (pixels := _native(picture)) is not None:
        return pixels
    if (ink := find_ink(picture)) is not None:
        scale = _GLYPH / max(ink.size)
        size = max(1, round(ink.width * scale)), max(1, round(ink.height * scale))
        glyph = np.asarray(_resize(ink, size, (0, 0, *ink.size)))
        if strongest := int(glyph.max()):
            return _center(glyph * np.float32(255 / strongest))
    return np.asarray(_grey(picture).resize((_FIELD, _FIELD), Image.Resampling.BOX))


def _native(picture: Image.Image) -> Pixels | None:
    """Return the pixels of an image that MNIST could hold: all its 70,000 have four black corners and are dark."""
    if picture.size != (_FIELD, _FIELD):
        return None
    levels = (picture if picture.mode == "L" else picture.getchannel(0)).tobytes()
    if levels[0] or levels[_FIELD - 1] or levels[-_FIELD] or levels[-1]:
        return None
    pixels: Pixels = np.frombuffer(levels, np.uint8).reshape(_FIELD, _FIELD)
    if pixels.sum() >= 128 * pixels.size:
        return None
    if picture.mode != "L" and (np.asarray(picture) != pixels[:, :, None]).any():
        return None
    return pixels


def _center(glyph: NDArray[np.float32]) -> Pixels:
    """Lay a glyph into the field, its centre of mass in the middle as far as the edges allow."""
    field = np.zeros((_FIELD, _FIELD), np.uint8)
    place = []
    for axis, side in enumerate(glyph.shape):
        profile = glyph.sum(axis=1 - axis)
        middle = float(profile @ np.arange(side) / profile.sum())
        start = min(max(math.floor(_FIELD / 2 - middle + 0.5), 0), _FIELD - side)
        place.append(slice(start, start + side))
    field[tuple(place)] = np.rint(glyph)
    return field


def _resize(picture: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Image.Image:
    """Resize the box, averaging over areas where it shrinks."""
    shrinks = box[2] - box[0] > size[0]
    filter_ = Image.Resampling.HAMMING if shrinks else Image.Resampling.BICUBIC
    return picture.resize(size, filter_, box, reducing_gap=_REDUCING_GAP)


def _grey(picture: Image.Image) -> Image.Image:
    return picture if picture.mode == "L" else picture.convert("L")
