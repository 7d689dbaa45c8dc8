"""The ink of a handwritten character, on paper of any size, colour, polarity and light (Pillow and NumPy only)."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Levels = NDArray[np.uint8]  # (H, W)
Mask = NDArray[np.bool_]  # (H, W)
Box = tuple[int, int, int, int]  # left, top, right, bottom

_SEARCH = 128  # longest side on which paper and ink are parted
_LOOK = 256  # longest side on which the ink that was found is looked at again
_GRID = 48  # longest side on which it is parted into pieces
_BORDER = 1 / 16  # of the shortest side
_WIDEST = 0.4  # of the longest side: what is dark and narrower is a stroke, what is wider a shadow
_DARKEST = 128  # level of paper up to which contrast is a share of it; of darker paper it would be noise
_FAINTEST = 20  # levels of contrast; less is paper, or what JPEG leaves on it
_FAINT = 0.35  # of the strongest ink: fainter are the lines of ruled paper
_SPECK = 0.05  # a piece with less than this share of the largest one's ink is dirt; parts of a digit have more
_FRAME = 0.15  # of a side: a piece that comes so near to all four edges, with another inside, is a box drawn around it
_MARGIN = 0.2  # of the ink's longest side: paper around it, for a closer look


def find_ink(picture: Image.Image) -> Image.Image | None:
    """Return the ink alone, cropped to it: mode L, from 0 for paper to 255; None for a blank picture.

    Paper is what a closing leaves: around each pixel the lightest that is nearer than a stroke is wide. Ink is how much
    darker than its paper a pixel is (the bottom-hat transform, Serra 1982), as a share: a shadow darkens both.

    Args:
        picture: of mode L or RGB.
    """
    factor = _reduction(picture.size, _SEARCH)
    reduced = picture.reduce(factor)
    channel = _clearest_channel(reduced)
    levels = _levels(reduced, channel, flip=False)
    if is_light := _ink_is_light(levels):
        levels = np.invert(levels)
    paper = _paper(levels)
    ink = _darkness(levels, paper)
    if int(ink.max()) < _FAINTEST:
        return None
    mask = _drawn(ink > _threshold(ink))
    if factor > 1:
        box = _surroundings(_box(mask), mask.shape)
        left, top, right, bottom = (min(factor * at, end) for at, end in zip(box, picture.size * 2, strict=True))
        closer = picture.reduce(_reduction((right - left, bottom - top), _LOOK), (left, top, right, bottom))
        paper = np.asarray(Image.fromarray(paper).resize(closer.size, Image.Resampling.BILINEAR, box))
        seen = np.asarray(Image.fromarray(_wider(mask)).resize(closer.size, Image.Resampling.NEAREST, box))
        ink = _darkness(_levels(closer, channel, flip=is_light), paper) * seen
        mask = ink > _threshold(ink)
        if not mask.any():
            return None
    left, top, right, bottom = _box(mask)
    return Image.fromarray((ink * _wider(mask))[top:bottom, left:right])


def _reduction(size: tuple[int, int], longest: int) -> int:
    return math.ceil(max(size) / longest)


def _levels(picture: Image.Image, channel: int, *, flip: bool) -> Levels:
    levels = np.asarray(picture if picture.mode == "L" else picture.getchannel(channel))
    return np.invert(levels) if flip else levels


def _clearest_channel(picture: Image.Image) -> int:
    """Return the channel in which levels differ most: a pen of any colour is dark in one."""
    if picture.mode == "L":
        return 0
    channels = np.ascontiguousarray(np.asarray(picture).reshape(-1, 3).T)  # of which NumPy is eight times as fast
    return int(channels.std(axis=1).argmax())


def _ink_is_light(levels: Levels) -> bool:
    """Tell whether the lightest is more times as light as the border than the border is as the darkest.

    The border is paper, by its median: even a tight crop has more of it there than ink. It is wider than a line drawn
    along it.
    """
    depth = max(1, int(min(levels.shape) * _BORDER))
    edges = levels[:depth], levels[-depth:], levels[:, :depth], levels[:, -depth:]
    border = np.concatenate([edge.ravel() for edge in edges])
    paper, lightest, darkest = (16 + float(level) for level in (np.median(border), levels.max(), levels.min()))
    return lightest / paper > paper / darkest


def _paper(levels: Levels) -> Levels:
    """Return the lightest around each pixel, as far as a stroke may be wide: a closing."""
    width = round(max(levels.shape) * _WIDEST)
    return _spread(_spread(levels, width, np.maximum, 0), width, np.minimum, 255)


def _darkness(levels: Levels, paper: Levels) -> Levels:
    """Return how much darker than its paper each pixel is, 0..255."""
    drop = np.maximum(paper, levels) - levels
    return (drop * np.float32(255) / np.maximum(paper, np.float32(_DARKEST))).astype(np.uint8)


def _spread(levels: Levels, width: int, extreme: Callable[[Levels, Levels], Levels], outside: int) -> Levels:
    """Give every pixel the extreme of the square of about ``width`` around it, in steps that double."""
    for _ in range(2):  # down, then across
        reach = min(width // 2, len(levels) - 1)
        padded = np.full((len(levels) + 2 * reach, levels.shape[1]), outside, np.uint8)
        padded[reach : reach + len(levels)] = levels
        span, whole = 1, 2 * reach + 1
        while 2 * span <= whole:
            padded = extreme(padded[:-span], padded[span:])
            span *= 2
        levels = extreme(padded[: len(levels)], padded[whole - span : whole - span + len(levels)]).T
    return levels


def _threshold(ink: Levels) -> int:
    """Return the level above which a pixel is ink; less than the strongest."""
    histogram = np.array(Image.fromarray(ink).histogram())  # NumPy would make every pixel eight bytes
    return max(_otsu(histogram), int(_FAINT * float(ink.max())))


def _otsu(histogram: NDArray[np.intp]) -> int:
    """Return the level up to which pixels are paper: it parts the two classes best (Otsu 1979)."""
    levels = np.arange(256)
    below = histogram.cumsum()[:-1]
    above = histogram.sum() - below
    sums = (histogram * levels).cumsum()
    between = (sums[-1] * below - sums[:-1] * (below + above)) ** 2.0 / np.maximum(below * above, 1)
    return int(between.argmax())


def _drawn(ink: Mask) -> Mask:
    """Leave the pieces of the character; take away specks, a box drawn around it, and what comes in from the edge."""
    side = math.ceil(max(ink.shape) / _GRID)
    counts = np.asarray(Image.fromarray(ink).convert("L").reduce(side))  # what touches within a cell is one piece
    pieces = _label_pieces(counts > 0)
    amounts = np.bincount(pieces.ravel(), weights=counts.ravel())
    large = (amounts >= _SPECK * amounts.max()).nonzero()[0]
    if len(large) > 1:
        boxes = {piece: _box(np.equal(pieces, piece)) for piece in large}
        inside = [piece for piece in large if not _is_frame(boxes[piece], pieces.shape)]
        if inside:
            largest = max(inside, key=amounts.__getitem__)
            if not _touches_edge(boxes[largest], pieces.shape):
                inside = [piece for piece in inside if not _touches_edge(boxes[piece], pieces.shape)]
            large = [piece for piece in inside if amounts[piece] >= _SPECK * amounts[largest]]
    cells = np.isin(pieces, large)
    return ink & cells.repeat(side, axis=0).repeat(side, axis=1)[: ink.shape[0], : ink.shape[1]]


def _touches_edge(box: Box, shape: tuple[int, int]) -> bool:
    left, top, right, bottom = box
    return left == 0 or top == 0 or right == shape[1] or bottom == shape[0]


def _is_frame(box: Box, shape: tuple[int, int]) -> bool:
    height, width = shape
    left, top, right, bottom = box
    near, far = _FRAME, 1 - _FRAME
    return left <= near * width and top <= near * height and right >= far * width and bottom >= far * height


def _label_pieces(cells: Mask) -> NDArray[np.intp]:
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


def _box(mask: Mask) -> Box:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _surroundings(box: Box, shape: tuple[int, int]) -> Box:
    left, top, right, bottom = box
    margin = math.ceil(_MARGIN * max(right - left, bottom - top))
    return max(0, left - margin), max(0, top - margin), min(shape[1], right + margin), min(shape[0], bottom + margin)


def _wider(mask: Mask) -> Mask:
    """Add the two pixels around, where edges fade."""
    return _spread(mask.astype(np.uint8), 5, np.maximum, 0).astype(bool)
