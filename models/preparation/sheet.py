"""The area of even tone in a picture, which may be the paper: a sheet on a desk, the canvas in a window, a plot."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preparation.ink import Box, bounding_box, extreme_filter, label_pieces

_SIDE = 96  # longest side of the reduced picture to search
_EVEN = 24  # levels between neighbouring pixels of the same area
_MIN_SHARE = 0.04  # share of the picture; a smaller area is no paper
_CANDIDATES = 3  # largest areas; the surroundings may be even and larger than the paper
_EVEN_EDGE = 0.5  # share of each side of the box that belongs to the area, as a character lies inside
_ELONGATED = 4  # ratio of the sides of a picture whose empty ends are cut off
_SHORT_SIDE = 64  # pixels of the shorter side in which the content of such a picture is found
_CONTENT = 40  # levels of contrast within a row or column


def find_sheet(picture: Image.Image) -> Box | None:
    """Return the box of the largest area of even tone that is not the whole picture, or None.

    For an elongated picture it is the box of the content.

    Args:
        picture: mode L or RGB.
    """
    if max(picture.size) >= _ELONGATED * min(picture.size):
        return _find_content(picture)
    factor = math.ceil(max(picture.size) / _SIDE)
    areas = label_pieces(_even_pixels(np.asarray(picture.reduce(factor))))
    counts = np.bincount(areas.ravel())
    counts[0] = 0  # the pixels between the areas
    height, width = areas.shape
    for area in np.argsort(-counts)[:_CANDIDATES]:
        if counts[area] < _MIN_SHARE * areas.size:
            break
        box = _inscribed_box(areas == area)
        if box is not None and max(box[0], box[1], width - box[2], height - box[3]) > 1:
            left, top = (max(0, factor * (at - 1)) for at in box[:2])  # the neighbours of even pixels have their level
            right, bottom = (min(factor * (at + 1), end) for at, end in zip(box[2:], picture.size, strict=True))
            return left, top, right, bottom
    return None


def _even_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a pixel's neighbours have nearly the same level: (H, W) or (H, W, 3) -> (H, W)."""
    channels = pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    ranges = [
        extreme_filter(levels, 3, np.maximum, 0) - extreme_filter(levels, 3, np.minimum, 255) for levels in channels
    ]
    is_even: NDArray[np.bool_] = np.max(ranges, axis=0) <= _EVEN
    return is_even


def _inscribed_box(area: NDArray[np.bool_]) -> Box | None:
    """Return a box whose sides belong to an area, or None if the sides meet.

    From the bounding box, the side with the smallest share moves inwards until every side has enough.
    """
    left, top, right, bottom = bounding_box(area)
    while right - left > 2 and bottom - top > 2:
        inside = area[top:bottom, left:right]
        shares = [float(side.mean()) for side in (inside[:, 0], inside[0], inside[:, -1], inside[-1])]
        worst = int(np.argmin(shares))
        if shares[worst] >= _EVEN_EDGE:
            return left, top, right, bottom
        left, top, right, bottom = left + (worst == 0), top + (worst == 1), right - (worst == 2), bottom - (worst == 3)
    return None


def _find_content(picture: Image.Image) -> Box | None:
    """Return the box of the rows or columns with contrast, with a margin of half the shorter side."""
    short = min(picture.size)
    factor = math.ceil(short / _SHORT_SIDE)
    grey = (picture if picture.mode == "L" else picture.convert("L")).reduce(factor)
    is_wide = picture.width > picture.height
    content = np.flatnonzero(np.ptp(np.asarray(grey), axis=0 if is_wide else 1) >= _CONTENT)
    if not len(content):
        return None
    start = max(0, factor * int(content[0]) - short // 2)
    stop = min(factor * int(content[-1] + 1) + short // 2, max(picture.size))
    if stop - start == max(picture.size):
        return None
    return (start, 0, stop, picture.height) if is_wide else (0, start, picture.width, stop)
