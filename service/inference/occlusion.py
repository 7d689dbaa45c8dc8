"""Saliency by occlusion (Zeiler and Fergus 2014).

The saliency of a patch is the effect of covering it on the prediction. The model runs on each covered image, in batches
with the images of other requests.
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
_MIN_PROBABILITY = 1e-7  # smallest probability that float32 output distinguishes from 0
_ROUNDING = 1e-6  # of a logarithm: predictions of one image differ by this much between batch sizes

Pixels = NDArray[np.uint8]
Window = tuple[slice, slice]


def cover(pixels: Pixels) -> list[Pixels]:
    """Return one copy of an image per patch, with the patch covered.

    A grey image is covered with black, its background; a colour image with its mean colour.

    Shape: (H, W) or (H, W, 3) -> 49 arrays of the same shape
    """
    fill = np.zeros((), np.uint8) if pixels.ndim == 2 else pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    covered = []
    for window in _windows(pixels.shape[0], pixels.shape[1]):
        copy = pixels.copy()
        copy[window] = fill
        covered.append(copy)
    return covered


def draw_saliency(pixels: Pixels, whole: Prediction, covered: Sequence[Prediction]) -> str:
    """Return the saliency as a grey PNG data URL of the image's size.

    Brighter pixels matter more. The value of a pixel is the mean drop of the log probability over the patches that
    cover it, scaled so that the largest is white. Pixels without a drop are black.

    Args:
        pixels: the image.
        whole: the prediction for the image.
        covered: the predictions for the images of :func:`cover`.
    """
    label = int(np.argmax(whole.probabilities))
    before, *after = (math.log(max(_MIN_PROBABILITY, result.probabilities[label])) for result in (whole, *covered))
    height, width = pixels.shape[:2]
    drops, counts = np.zeros((height, width)), np.zeros((height, width))
    for window, logarithm in zip(_windows(height, width), after, strict=True):
        drops[window] += max(0.0, before - logarithm)
        counts[window] += 1
    saliency = drops / counts
    largest = float(saliency.max())
    levels = (saliency * (255 / largest if largest > _ROUNDING else 0)).round().astype(np.uint8)
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
