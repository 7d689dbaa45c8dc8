"""Digits of other hands, another country and another scanner: what no deformation of MNIST's own can stand for."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

OPTDIGITS: Mapping[str, Collection[int]] = {  # kind of pictures -> digits; a 1 or a 7 is not written alike everywhere
    "other hands: 13 people in Turkey, scanned to 8x8": range(10),
    "other hands: their 1s": [1],
    "other hands: their 7s": [7],
}
MARGIN, SIDE = 2, 192  # pixels around the 8x8, and of the whole once enlarged


def optdigits(count: int, digits: Collection[int]) -> tuple[Iterator[Image.Image], NDArray[np.int64]]:
    """Return pictures, ``count`` at most, of ``digits``, white on black and enlarged as a viewer does it, and labels.

    They are the test set of Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), by 13 people of
    whom none wrote for MNIST, as scikit-learn carries it: each pixel counts the ink in 4x4 pixels of a scan.
    """
    scans = load_digits()
    shuffled = np.random.default_rng(0).permutation(len(scans.images))
    chosen = shuffled[np.isin(scans.target[shuffled], list(digits))][:count]
    return (_enlarged(image) for image in scans.images[chosen]), scans.target[chosen]


def _enlarged(ink: NDArray[np.float64]) -> Image.Image:
    """(8, 8), 0..16 -> a picture."""
    pixels = np.pad(ink * 255 / 16, MARGIN).round().astype(np.uint8)
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
