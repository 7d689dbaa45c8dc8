"""Preparation of handwritten digits in MNIST's framing (LeCun et al. 1998)."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preparation.ink import find_ink

SIDE, _GLYPH = 28, 20  # MNIST's side lengths: the image, and the box around the digit
_REDUCING_GAP = 3.0  # pixels per output pixel for the final filter; box averaging reduces to that first

Pixels = NDArray[np.uint8]


def digit(picture: Image.Image) -> Pixels:
    """Frame a handwritten digit of any ink and paper as in MNIST (LeCun et al. 1998).

    The ink is scaled to fit 20x20 with its aspect ratio and placed in 28x28 with its centre of mass in the middle,
    white on black. An MNIST image is returned bit for bit. A blank picture is only resized.

    Shape: any picture -> (28, 28)
    """
    if (pixels := _mnist_pixels(picture)) is not None:
        return pixels
    if (ink := find_ink(picture)) is not None:
        scale = _GLYPH / max(ink.size)
        size = max(1, round(ink.width * scale)), max(1, round(ink.height * scale))
        glyph = np.asarray(_resize(ink, size, (0, 0, *ink.size)))
        if strongest := int(glyph.max()):
            return _center(glyph * np.float32(255 / strongest))
    return np.asarray(_grey(picture).resize((SIDE, SIDE), Image.Resampling.BOX))


def _mnist_pixels(picture: Image.Image) -> Pixels | None:
    """Return the pixels of an image with MNIST's framing, else None."""
    if picture.size != (SIDE, SIDE):
        return None
    pixels: Pixels = np.asarray(picture if picture.mode == "L" else picture.getchannel(0))
    if not is_mnist(pixels):
        return None
    if picture.mode != "L" and (np.asarray(picture) != pixels[:, :, None]).any():
        return None
    return pixels


def is_mnist(pixels: Pixels) -> bool:
    """Return whether grey pixels, (H, W) uint8, have MNIST's framing.

    All 70,000 images of MNIST have four black corners and are dark.
    """
    if pixels.shape != (SIDE, SIDE):
        return False
    levels = pixels.tobytes()
    if levels[0] or levels[SIDE - 1] or levels[-SIDE] or levels[-1]:
        return False
    return 2 * levels.count(0) >= len(levels) or int(pixels.sum()) < 128 * len(levels)  # counting is cheaper


def _center(glyph: NDArray[np.float32]) -> Pixels:
    """Place a glyph with its centre of mass in the middle, as far as the edges allow."""
    field = np.zeros((SIDE, SIDE), np.uint8)
    slices = []
    for axis, side in enumerate(glyph.shape):
        profile = glyph.sum(axis=1 - axis)
        middle = float(profile @ np.arange(side) / profile.sum())
        start = min(max(math.floor(SIDE / 2 - middle + 0.5), 0), SIDE - side)
        slices.append(slice(start, start + side))
    field[tuple(slices)] = np.rint(glyph)
    return field


def _resize(picture: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Image.Image:
    """Resize the box of a picture, with an area filter when it shrinks."""
    shrinks = box[2] - box[0] > size[0]
    filter_ = Image.Resampling.HAMMING if shrinks else Image.Resampling.BICUBIC
    return picture.resize(size, filter_, box, reducing_gap=_REDUCING_GAP)


def _grey(picture: Image.Image) -> Image.Image:
    return picture if picture.mode == "L" else picture.convert("L")
