"""Which pixels made an answer: by covering them, a patch at a time (Zeiler and Fergus 2014, occlusion).

The model itself is asked again about each covered image, in batches beside everybody else's images.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.images.data_url import data_url
from service.prediction import Prediction

GRID = 7  # patches across and down
PATCH = 1 / 4  # of the image's side
_LEAST = 1e-7  # probability that is told from nothing in float32
_ROUNDING = 1e-6  # of a logarithm: the same image has answers that far apart in batches of other sizes

Pixels = NDArray[np.uint8]
Window = tuple[slice, slice]


def cover(pixels: Pixels) -> list[Pixels]:
    """Return a copy of an image for each patch, with the patch covered.

    By black in a grey image, as that is its paper, and else by the image's mean colour.

    Shape: (H, W) or (H, W, 3) -> 49 times the same
    """
    paper = np.zeros((), np.uint8) if pixels.ndim == 2 else pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    covered = []
    for window in _windows(pixels.shape[0], pixels.shape[1]):
        copy = pixels.copy()
        copy[window] = paper
        covered.append(copy)
    return covered


def draw_saliency(pixels: Pixels, whole: Prediction, covered: Sequence[Prediction]) -> str:
    """Return a grey PNG of the image's size as a data URL: the whiter a pixel, the more the answer rests on it.

    A pixel has the mean of how far covering it lowers the logarithm of the answer's probability, over the patches that
    cover it; the most is white. What raises the probability, or leaves it, is black.

    Args:
        pixels: the image.
        whole: its answer.
        covered: the answers to what :func:`cover` made of it.
    """
    label = int(np.argmax(whole.probabilities))
    before, *after = (math.log(max(_LEAST, answer.probabilities[label])) for answer in (whole, *covered))
    height, width = pixels.shape[:2]
    drops, counts = np.zeros((height, width)), np.zeros((height, width))
    for window, logarithm in zip(_windows(height, width), after, strict=True):
        drops[window] += max(0.0, before - logarithm)
        counts[window] += 1
    saliency = drops / counts
    most = float(saliency.max())
    levels = (saliency * (255 / most if most > _ROUNDING else 0)).round().astype(np.uint8)
    return data_url(levels)


@functools.cache
def _windows(height: int, width: int) -> list[Window]:
    """Return patches that overlap by half and together cover the image."""
    rows, columns = _spans(height), _spans(width)
    return [(row, column) for row in rows for column in columns]


def _spans(side: int) -> list[slice]:
    length = max(math.ceil(side * PATCH), math.ceil(side / GRID))
    starts = np.linspace(0, side - length, GRID).round().astype(int)
    return [slice(start, start + length) for start in starts.tolist()]
