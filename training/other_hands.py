"""Digits of other hands, another country and another scanner: what no deformation of MNIST's own can stand for."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

OTHER_HANDS = "other hands: 13 people in Turkey, scanned to 8x8"
MARGIN, SIDE = 2, 192  # pixels around the 8x8, and of the whole once enlarged


def other_hands(count: int) -> tuple[Iterator[Image.Image], NDArray[np.int64]]:
    """Return pictures of so many digits at most, white on black and enlarged as a viewer does it, and their labels.

    They are the test set of Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), by 13 people of
    whom none wrote for MNIST, as scikit-learn carries it: each pixel counts the ink in 4x4 pixels of a scan.
    """
    digits = load_digits()
    chosen = np.random.default_rng(0).permutation(len(digits.images))[:count]
    return (_enlarged(image) for image in digits.images[chosen]), digits.target[chosen]


def _enlarged(ink: NDArray[np.float64]) -> Image.Image:
    """(8, 8), 0..16 -> a picture."""
    pixels = np.pad(ink * 255 / 16, MARGIN).round().astype(np.uint8)
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
