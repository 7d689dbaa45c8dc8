"""Location of a photograph's subject by contrast."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]  # left, top, right, bottom
Pixels = NDArray[np.int16]

_SIDE = 128  # longest side of the reduced picture to search
_BAR_NOISE = 12  # levels of JPEG noise in a bar
_ENCLOSED = 0.98  # minimum share of the saliency inside the subject's box
LEAST, _MOST = 0.3, 0.85  # sides as shares of the largest box that fits; a larger subject is not cropped
_GRAIN = 12  # levels, summed over three colours and two directions
_STEP = 1.06  # ratio of successive box sizes in the search


def find_subject(picture: Image.Image, *, aspect: tuple[int, int]) -> Box:
    """Return the crop box of a picture (mode RGB) for the aspect (height, width).

    The box lies inside uniform bars, if the picture has any, and encloses what is salient against plain or blurred
    surroundings. If that fills the picture or is everywhere, the box is the largest centred one.
    """
    factor = math.ceil(max(picture.size) / _SIDE)
    pixels = np.asarray(picture.reduce(factor), np.int16)
    left, top, right, bottom = _between_bars(pixels)
    salient = _salient_box(pixels[top:bottom, left:right], aspect)
    if salient is not None:
        x, y, width, height = salient
        left, top, right, bottom = left + x, top + y, left + x + width, top + y + height
    full = factor * left, factor * top, min(factor * right, picture.width), min(factor * bottom, picture.height)
    return _center_crop(full, aspect)


def _between_bars(pixels: Pixels) -> tuple[int, int, int, int]:
    """Return the box between two bars of one colour, else the whole picture.

    The bars are at the top and bottom or at the left and right. An object on plain paper has no bars: the
    other two sides have the colour of the paper too.
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
        start, stop = first + 1, last  # the outermost lines are partly bar
        return (0, start, width, stop) if axis == 0 else (start, 0, stop, height)
    return 0, 0, width, height


def _salient_box(pixels: Pixels, aspect: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the smallest box with nearly all the saliency, or None.

    The box is left, top, width and height. The saliency of a pixel is its gradient above the median gradient,
    so that grain and out-of-focus areas count little. Maps of visual attention also start from contrast (Itti et al.
    1998).
    """
    gradient = _gradient(pixels)
    # Summed-area table: the sum of a box takes four entries (Crow 1984).
    sums = np.zeros((gradient.shape[0] + 1, gradient.shape[1] + 1), np.float32)
    np.maximum(gradient - np.median(gradient) - _GRAIN, 0).cumsum(axis=0).cumsum(axis=1, out=sums[1:, 1:])
    fitting, share = min(gradient.shape[0] / aspect[0], gradient.shape[1] / aspect[1]), LEAST
    while share <= _MOST:
        height, width = (max(1, round(share * fitting * side)) for side in aspect)
        inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
        top, left = (int(at) for at in np.unravel_index(inside.argmax(), inside.shape))
        if inside[top, left] >= _ENCLOSED * sums[-1, -1] > 0:
            return left, top, width, height
        share *= _STEP
    return None


def _gradient(pixels: Pixels) -> NDArray[np.float32]:
    """Return the colour gradient of each pixel: (H, W, 3) -> (H, W)."""
    gradient = np.zeros(pixels.shape[:2], np.float32)
    gradient[:, 1:-1] += np.abs(pixels[:, 2:] - pixels[:, :-2]).sum(axis=2)
    gradient[1:-1] += np.abs(pixels[2:] - pixels[:-2]).sum(axis=2)
    return gradient


def _center_crop(box: Box, aspect: tuple[int, int]) -> Box:
    """Return the largest centred box of an aspect inside another box."""
    left, top, right, bottom = box
    height, width = aspect
    scale = min((right - left) / width, (bottom - top) / height)
    across, down = (right - left - width * scale) / 2, (bottom - top - height * scale) / 2
    return left + max(0.0, across), top + max(0.0, down), right - max(0.0, across), bottom - max(0.0, down)
