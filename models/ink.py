"""Where the ink of a handwritten character is, on paper of any size, colour and polarity (Pillow and NumPy only)."""

import functools
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

Box = tuple[int, int, int, int]  # left, top, right, bottom
Color = int | tuple[int, ...]

_SEARCH = 256  # longest side on which ink is searched
_GRID = 64  # longest side on which it is parted into pieces
_SPECK = 0.05  # a piece with less than this share of the largest one's ink is dirt; parts of a digit have more
_FAINTEST = 16  # levels of contrast; less is paper, or what JPEG leaves on it


def find_ink(picture: Image.Image) -> tuple[Color, Box] | None:
    """Return the colour of the paper and the box around the ink; None for a blank picture.

    Args:
        picture: of mode L or RGB.
    """
    factor = _reduction(picture.size)
    reduced = picture.reduce(factor)
    paper = _border_color(reduced)
    box = _ink_box(contrast_with(reduced, paper))
    if box is None:
        return None
    if factor > 1:  # look again, closer
        left, top = (max(0, factor * (start - 1)) for start in box[:2])
        right, bottom = (min(side, factor * (stop + 1)) for stop, side in zip(box[2:], picture.size, strict=True))
        factor = _reduction((right - left, bottom - top))
        closer = picture.reduce(factor, (left, top, right, bottom))
        x0, y0, x1, y1 = _ink_box(contrast_with(closer, paper)) or (0, 0, *closer.size)
        box = left + factor * x0, top + factor * y0, min(right, left + factor * x1), min(bottom, top + factor * y1)
    return paper, box


def _ink_box(contrast: Image.Image) -> Box | None:
    """Return the box around what stands out, specks apart; None where nothing does."""
    histogram = contrast.histogram()
    if not any(histogram[_FAINTEST:]):
        return None
    threshold = _otsu(np.array(histogram, np.float64))
    ink = contrast.point([0] * (threshold + 1) + [255] * (255 - threshold))
    side = math.ceil(max(ink.size) / _GRID)
    cells = np.asarray(ink.reduce(side))  # what touches within a cell is one piece
    pieces = _label_pieces(cells > 0)
    amounts = np.bincount(pieces.ravel(), weights=cells.ravel())
    digit_cells = (amounts >= _SPECK * amounts.max())[pieces] & (cells > 0)
    rows, columns = digit_cells.any(axis=1).nonzero()[0], digit_cells.any(axis=0).nonzero()[0]
    left, top = int(columns[0]) * side, int(rows[0]) * side
    inner = ink.crop((left, top, (int(columns[-1]) + 1) * side, (int(rows[-1]) + 1) * side)).getbbox()
    assert inner is not None
    return left + inner[0], top + inner[1], left + inner[2], top + inner[3]


def _label_pieces(cells: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Number every cell by the piece (8 neighbours) it belongs to, 0 for none.

    The number is the index of the piece's last cell: every cell takes its neighbours' highest, then that cell's own.
    """
    mask = np.pad(cells, 1)
    labels = np.arange(mask.size).reshape(mask.shape) * mask
    while True:
        highest = labels.copy()
        highest[1:-1] = np.maximum(np.maximum(labels[:-2], labels[1:-1]), labels[2:])
        highest[:, 1:-1] = np.maximum(np.maximum(highest[:, :-2], highest[:, 1:-1]), highest[:, 2:])
        highest = (highest * mask).ravel()[highest * mask]
        if np.array_equal(highest, labels):
            return labels[1:-1, 1:-1]
        labels = highest


def _otsu(histogram: NDArray[np.float64]) -> int:
    """Return the level up to which pixels are paper: it parts the two classes best (Otsu 1979)."""
    levels = np.arange(256)
    below = histogram.cumsum()[:-1]
    above = histogram.sum() - below
    sums = (histogram * levels).cumsum()
    between = (sums[-1] * below - sums[:-1] * (below + above)) ** 2 / np.maximum(below * above, 1)
    return int(between.argmax())


def _border_color(picture: Image.Image) -> Color:
    """Return the median of the outermost pixels: even a tight crop has more paper there than ink."""
    pixels = np.asarray(picture)
    border = np.sort(np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])), axis=0)
    color = border[len(border) // 2].tolist()
    return tuple(color) if isinstance(color, list) else color


def contrast_with(picture: Image.Image, paper: Color) -> Image.Image:
    """Return how far each pixel is from the paper, lighter or darker, in the channel where it is farthest: mode L."""
    difference = ImageChops.difference(picture, Image.new(picture.mode, picture.size, paper))
    return functools.reduce(ImageChops.lighter, difference.split())


def _reduction(size: tuple[int, int]) -> int:
    return math.ceil(max(size) / _SEARCH)
