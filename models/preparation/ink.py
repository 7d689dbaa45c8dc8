"""Ink detection for a handwritten character on any paper (Pillow, NumPy).

Size, colours, polarity and light may vary.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Levels = NDArray[np.uint8]  # (H, W)
Mask = NDArray[np.bool_]  # (H, W)
Box = tuple[int, int, int, int]  # left, top, right, bottom

_SEARCH_SIDE = 128  # longest side for the separation of paper and ink
_REFINE_SIDE = 256  # longest side for the second pass over the detected ink
_GRID_SIDE = 48  # longest side for the labelling of pieces
_BORDER = 1 / 16  # share of the shortest side
_WIDEST_STROKE = 0.4  # share of the longest side: dark areas up to this width are strokes, wider ones shadows
_DARKEST_PAPER = 128  # paper level below which contrast is no longer relative to it; noise would be amplified
_MIN_CONTRAST = 20  # levels of contrast; less is paper or JPEG noise
_MIN_INK = 0.35  # share of the strongest ink; the lines of ruled paper are fainter
_SPECK = 0.05  # a piece with a smaller share of the largest one's ink is dirt; parts of a digit have more
_FRAME = 0.15  # share of a side: a piece this near all four edges, with another inside, is a drawn box
_MINOR = 0.25  # a piece with a smaller share of the largest one's ink, and as far from it, may be a hole or a stain
_TWO_TONES = 0.85  # separability of ink and paper; photographs have up to 0.81, clear pictures of digits 0.88 or more
_MARGIN = 0.2  # share of the ink's longest side: paper around it in the second pass


def find_ink(picture: Image.Image, *, strict: bool = False) -> Image.Image | None:
    """Return the cropped ink, mode L with 0 for paper, or None for a blank picture.

    A morphological closing, wider than a stroke, estimates the paper. Ink is the darkness of a pixel relative to its
    paper (bottom-hat transform, Serra 1982); the ratio cancels shadows, which darken both.

    Args:
        picture: mode L or RGB.
        strict: for a picture whose surroundings may look like ink. The character is the largest piece that does not
            touch the edge, with the pieces that are near it or not much smaller; without such a piece, or without two
            clear tones, the picture counts as blank. If not strict, it is all pieces but specks, a drawn box, and what
            touches the edge if the largest piece does not.
    """
    factor = _reduction(picture.size, _SEARCH_SIDE)
    reduced = picture.reduce(factor)
    channel = _clearest_channel(reduced)
    levels = _levels(reduced, channel, flip=False)
    if is_light := _ink_is_light(levels):
        levels = np.invert(levels)
    paper = _estimate_paper(levels)
    ink = _darkness(levels, paper)
    if int(ink.max()) < _MIN_CONTRAST or (strict and _separability(ink) < _TWO_TONES):
        return None
    mask = _character_pieces(ink > _threshold(ink), strict=strict)
    if not mask.any():
        return None
    if factor > 1:
        box = _add_margin(bounding_box(mask), mask.shape)
        left, top, right, bottom = (min(factor * at, end) for at, end in zip(box, picture.size * 2, strict=True))
        crop = picture.reduce(_reduction((right - left, bottom - top), _REFINE_SIDE), (left, top, right, bottom))
        paper = np.asarray(Image.fromarray(paper).resize(crop.size, Image.Resampling.BILINEAR, box))
        near_ink = np.asarray(Image.fromarray(_dilate(mask)).resize(crop.size, Image.Resampling.NEAREST, box))
        ink = _darkness(_levels(crop, channel, flip=is_light), paper) * near_ink
        mask = ink > _threshold(ink)
        if not mask.any():
            return None
    left, top, right, bottom = bounding_box(mask)
    return Image.fromarray((ink * _dilate(mask))[top:bottom, left:right])


def _reduction(size: tuple[int, int], longest: int) -> int:
    return math.ceil(max(size) / longest)


def _levels(picture: Image.Image, channel: int, *, flip: bool) -> Levels:
    levels = np.asarray(picture if picture.mode == "L" else picture.getchannel(channel))
    return np.invert(levels) if flip else levels


def _clearest_channel(picture: Image.Image) -> int:
    """Return the channel with the largest standard deviation.

    A pen of any colour is dark in one channel.
    """
    if picture.mode == "L":
        return 0
    channels = np.ascontiguousarray(np.asarray(picture).reshape(-1, 3).T)  # NumPy is eight times as fast on this layout
    return int(channels.std(axis=1).argmax())


def _ink_is_light(levels: Levels) -> bool:
    """Return whether the ink is lighter than the paper.

    It is if lightest / paper > paper / darkest. The paper level is the median of the border, where even a tight
    crop has more paper than ink. The border is wider than a line drawn along it.
    """
    depth = max(1, int(min(levels.shape) * _BORDER))
    edges = levels[:depth], levels[-depth:], levels[:, :depth], levels[:, -depth:]
    border = np.concatenate([edge.ravel() for edge in edges])
    paper, lightest, darkest = (16 + float(level) for level in (np.median(border), levels.max(), levels.min()))
    return lightest / paper > paper / darkest


def _estimate_paper(levels: Levels) -> Levels:
    """Estimate the paper level of each pixel by a closing wider than a stroke."""
    width = round(max(levels.shape) * _WIDEST_STROKE)
    return extreme_filter(extreme_filter(levels, width, np.maximum, 0), width, np.minimum, 255)


def _darkness(levels: Levels, paper: Levels) -> Levels:
    """Return the darkness of each pixel relative to its paper, 0..255."""
    drop = np.maximum(paper, levels) - levels
    return (drop * np.float32(255) / np.maximum(paper, np.float32(_DARKEST_PAPER))).astype(np.uint8)


def extreme_filter(levels: Levels, width: int, extreme: Callable[[Levels, Levels], Levels], outside: int) -> Levels:
    """Replace each pixel by the extreme of a square of about ``width`` around it.

    The spans double, so the cost grows with the logarithm of ``width``.
    """
    for _ in range(2):  # vertically, then horizontally
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
    """Return the level above which a pixel is ink; it is below the maximum."""
    return max(_otsu(ink), int(_MIN_INK * float(ink.max())))


def _separability(ink: Levels) -> float:
    """Return the share of the variance that is between paper and ink, 0..1 (Otsu 1979)."""
    is_ink = ink > _otsu(ink)
    means = np.where(is_ink, ink[is_ink].mean(), ink[~is_ink].mean())
    return float(means.var() / ink.var())


def _otsu(ink: Levels) -> int:
    """Return the level up to which pixels are paper, by Otsu's method (1979)."""
    histogram = np.array(Image.fromarray(ink).histogram())  # NumPy would need eight bytes per pixel
    levels = np.arange(256)
    below = histogram.cumsum()[:-1]
    above = histogram.sum() - below
    sums = (histogram * levels).cumsum()
    between = (sums[-1] * below - sums[:-1] * (below + above)) ** 2.0 / np.maximum(below * above, 1)
    return int(between.argmax())


def _character_pieces(ink: Mask, *, strict: bool) -> Mask:
    """Keep the pieces of the character, as find_ink describes; a strict search may keep none."""
    side = math.ceil(max(ink.shape) / _GRID_SIDE)
    counts = np.asarray(Image.fromarray(ink).convert("L").reduce(side))  # pixels in the same cell belong to one piece
    pieces = label_pieces(counts > 0)
    amounts = np.bincount(pieces.ravel(), weights=counts.ravel())
    large = (amounts >= _SPECK * amounts.max()).nonzero()[0]
    if len(large) > 1 or strict:
        boxes = {piece: bounding_box(np.equal(pieces, piece)) for piece in large}
        candidates = [piece for piece in large if not _is_frame(boxes[piece], pieces.shape)]
        inner = [piece for piece in candidates if not _touches_edge(boxes[piece], pieces.shape)]
        if strict or (inner and max(candidates, key=amounts.__getitem__) in inner):
            candidates = inner
        if candidates or strict:
            largest = max(candidates, key=amounts.__getitem__, default=0)
            min_shares = dict.fromkeys(candidates, _SPECK)
            if strict:
                min_shares |= {piece: _MINOR for piece in candidates if _is_far(boxes[piece], boxes[largest])}
            large = [piece for piece in candidates if amounts[piece] >= min_shares[piece] * amounts[largest]]
    cells = np.isin(pieces, large)
    return ink & cells.repeat(side, axis=0).repeat(side, axis=1)[: ink.shape[0], : ink.shape[1]]


def _touches_edge(box: Box, shape: tuple[int, int]) -> bool:
    left, top, right, bottom = box
    return left == 0 or top == 0 or right == shape[1] or bottom == shape[0]


def _is_far(box: Box, main: Box) -> bool:
    """Return whether a box is far from the main one, relative to the size of the latter."""
    gaps = [max(box[axis] - main[axis + 2], main[axis] - box[axis + 2]) for axis in (0, 1)]
    return max(gaps) >= _MINOR * max(main[2] - main[0], main[3] - main[1])


def _is_frame(box: Box, shape: tuple[int, int]) -> bool:
    height, width = shape
    left, top, right, bottom = box
    near, far = _FRAME, 1 - _FRAME
    return left <= near * width and top <= near * height and right >= far * width and bottom >= far * height


def label_pieces(cells: Mask) -> NDArray[np.intp]:
    """Label the 8-connected pieces of a mask, 0 for no piece.

    A label is the index of the piece's last cell. Each cell repeatedly takes the highest label among its neighbours,
    then the label of the cell with that index.
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


def bounding_box(mask: Mask) -> Box:
    """Return the smallest box around the pixels of a mask, which has some."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _add_margin(box: Box, shape: tuple[int, int]) -> Box:
    left, top, right, bottom = box
    margin = math.ceil(_MARGIN * max(right - left, bottom - top))
    return max(0, left - margin), max(0, top - margin), min(shape[1], right + margin), min(shape[0], bottom + margin)


def _dilate(mask: Mask) -> Mask:
    """Dilate by two pixels, where edges fade."""
    return extreme_filter(mask.astype(np.uint8), 5, np.maximum, 0).astype(bool)
