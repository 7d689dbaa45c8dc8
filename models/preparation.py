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

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom

_FIELD, _GLYPH = 28, 20  # MNIST's sides: the image, and the box its digit was fitted into
_BAR_SEARCH = 128  # longest side on which bars are searched
_BAR_NOISE = 12  # levels, of JPEG
_REDUCING_GAP = 3.0  # pixels left for the last filter, per pixel of the result; before that, plain averaging


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


def photo(picture: Image.Image, size: tuple[int, int]) -> Pixels:
    """Fit and crop the centre of a picture to ``size`` = (H, W), bars beside it left out.

    Shape: any picture -> (H, W, 3)
    """
    height, width = size
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    if picture.size != (width, height):
        left, top, right, bottom = _between_bars(picture)
        scale = min((right - left) / width, (bottom - top) / height)
        across, down = (right - left - width * scale) / 2, (bottom - top - height * scale) / 2
        box = (left + max(0.0, across), top + max(0.0, down), right - max(0.0, across), bottom - max(0.0, down))
        filter_ = Image.Resampling.LANCZOS if scale > 1 else Image.Resampling.BICUBIC
        picture = picture.resize((width, height), filter_, box, reducing_gap=_REDUCING_GAP)
    return np.asarray(picture)


def _between_bars(picture: Image.Image) -> Box:
    """Return the box between two bars of one colour, above and below or left and right; or the whole picture.

    A thing on plain paper has no bars: there, the other two sides have the paper's colour too.
    """
    whole = 0, 0, *picture.size
    factor = math.ceil(max(picture.size) / _BAR_SEARCH)
    pixels = np.asarray(picture.reduce(factor), np.int16)
    plain = (np.abs(pixels - pixels[0, 0]) <= _BAR_NOISE).all(axis=2)
    for axis in (0, 1):
        lines = plain.all(axis=1 - axis)
        between = np.flatnonzero(~lines)
        if not (lines[0] and lines[-1] and len(between) > 2):
            continue
        first, last = int(between[0]), int(between[-1])
        if plain.take([0, -1], axis=1 - axis).take(range(first, last + 1), axis=axis).mean() > 0.5:
            continue
        start, stop = factor * (first + 1), factor * last  # the outermost lines are half bar
        return (0, start, picture.width, stop) if axis == 0 else (start, 0, stop, picture.height)
    return whole


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
