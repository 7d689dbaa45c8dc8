"""Which part of a photograph is its subject: between bars, and where nearly all that stands out is."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]  # left, top, right, bottom
Pixels = NDArray[np.int16]

_SIDE = 128  # the longest on which is searched
_BAR_NOISE = 12  # levels, of JPEG
_KEPT = 0.98  # of what stands out, in the subject's box
LEAST, _MOST = 0.3, 0.85  # its sides, in shares of the largest box that fits; a larger one is no reason to crop
_GRAIN = 12  # levels, three colours and two directions together
_STEP = 1.06  # from one size that is tried to the next


def find_subject(picture: Image.Image, *, aspect: tuple[int, int]) -> Box:
    """Return the box that a picture (mode RGB) is cropped to, of the aspect (height, width).

    It lies between the picture's bars, if it has any, around what stands out from plain or blurred surroundings; in the
    middle and as large as it can be, if that fills the picture or is everywhere.
    """
    factor = math.ceil(max(picture.size) / _SIDE)
    pixels = np.asarray(picture.reduce(factor), np.int16)
    left, top, right, bottom = _between_bars(pixels)
    standing_out = _standing_out(pixels[top:bottom, left:right], aspect)
    if standing_out is not None:
        x, y, width, height = standing_out
        left, top, right, bottom = left + x, top + y, left + x + width, top + y + height
    full = factor * left, factor * top, min(factor * right, picture.width), min(factor * bottom, picture.height)
    return _middle(full, aspect)


def _between_bars(pixels: Pixels) -> tuple[int, int, int, int]:
    """Return the box between two bars of one colour, above and below or left and right; or the whole picture.

    A thing on plain paper has no bars: there, the other two sides have the paper's colour too.
    """
    height, width = pixels.shape[:2]
    plain = (np.abs(pixels - pixels[0, 0]) <= _BAR_NOISE).all(axis=2)
    for axis in (0, 1):
        lines = plain.all(axis=1 - axis)
        between = np.flatnonzero(~lines)
        if not (lines[0] and lines[-1] and len(between) > 2):
            continue
        first, last = int(between[0]), int(between[-1])
        if plain.take([0, -1], axis=1 - axis).take(range(first, last + 1), axis=axis).mean() > 0.5:
            continue
        start, stop = first + 1, last  # the outermost lines are half bar
        return (0, start, width, stop) if axis == 0 else (start, 0, stop, height)
    return 0, 0, width, height


def _standing_out(pixels: Pixels, aspect: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return left, top, width and height of the least box that holds nearly all that stands out; None if there is none.

    A place stands out by how much steeper it is than half of all places, so that grain and what is out of focus count
    for little; contrast is also what maps of visual attention start from (Itti et al. 1998).
    """
    steepness = _steepness(pixels)
    sums = np.zeros((steepness.shape[0] + 1, steepness.shape[1] + 1), np.float32)  # of a box: four of them (Crow 1984)
    np.maximum(steepness - np.median(steepness) - _GRAIN, 0).cumsum(axis=0).cumsum(axis=1, out=sums[1:, 1:])
    fitting, share = min(steepness.shape[0] / aspect[0], steepness.shape[1] / aspect[1]), LEAST
    while share <= _MOST:
        height, width = (max(1, round(share * fitting * side)) for side in aspect)
        inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
        top, left = (int(at) for at in np.unravel_index(inside.argmax(), inside.shape))
        if inside[top, left] >= _KEPT * sums[-1, -1] > 0:
            return left, top, width, height
        share *= _STEP
    return None


def _steepness(pixels: Pixels) -> NDArray[np.float32]:
    """Return how much the colours change at each place: (H, W, 3) -> (H, W)."""
    steepness = np.zeros(pixels.shape[:2], np.float32)
    steepness[:, 1:-1] += np.abs(pixels[:, 2:] - pixels[:, :-2]).sum(axis=2)
    steepness[1:-1] += np.abs(pixels[2:] - pixels[:-2]).sum(axis=2)
    return steepness


def _middle(box: Box, aspect: tuple[int, int]) -> Box:
    """Return the largest box of an aspect in the middle of another."""
    left, top, right, bottom = box
    height, width = aspect
    scale = min((right - left) / width, (bottom - top) / height)
    across, down = (right - left - width * scale) / 2, (bottom - top - height * scale) / 2
    return left + max(0.0, across), top + max(0.0, down), right - max(0.0, across), bottom - max(0.0, down)
