"""Handwritten digits: framed as MNIST's (LeCun et al. 1998)."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preparation.ink import find_ink

SIDE, _GLYPH = 28, 20  # MNIST's sides: the image, and the box its digit was fitted into
_REDUCING_GAP = 3.0  # pixels left for the last filter, per pixel of the result; before that, plain averaging

Pixels = NDArray[np.uint8]


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
    return np.asarray(_grey(picture).resize((SIDE, SIDE), Image.Resampling.BOX))


def _native(picture: Image.Image) -> Pixels | None:
    """Return the pixels of an image that MNIST could hold: all its 70,000 have four black corners and are dark."""
    if picture.size != (SIDE, SIDE):
        return None
    levels = (picture if picture.mode == "L" else picture.getchannel(0)).tobytes()
    if levels[0] or levels[SIDE - 1] or levels[-SIDE] or levels[-1]:
        return None
    pixels: Pixels = np.frombuffer(levels, np.uint8).reshape(SIDE, SIDE)
    if pixels.sum() >= 128 * pixels.size:
        return None
    if picture.mode != "L" and (np.asarray(picture) != pixels[:, :, None]).any():
        return None
    return pixels


def _center(glyph: NDArray[np.float32]) -> Pixels:
    """Lay a glyph into the field, its centre of mass in the middle as far as the edges allow."""
    field = np.zeros((SIDE, SIDE), np.uint8)
    place = []
    for axis, side in enumerate(glyph.shape):
        profile = glyph.sum(axis=1 - axis)
        middle = float(profile @ np.arange(side) / profile.sum())
        start = min(max(math.floor(SIDE / 2 - middle + 0.5), 0), SIDE - side)
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
