"""UCI optdigits: digits of other writers, from another scanner."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

OPTDIGITS_KINDS: Mapping[str, Collection[int]] = {  # kind -> digits; the shapes of 1 and 7 vary by country
    "optdigits: 13 writers in Turkey, scanned to 8x8": range(10),
    "optdigits: digit 1": [1],
    "optdigits: digit 7": [7],
}
MARGIN, SIDE = 2, 192  # pixels: around the 8x8 image; of the enlarged picture


def load_optdigits(count: int, digits: Collection[int]) -> tuple[Iterator[Image.Image], NDArray[np.int64]]:
    """Return up to ``count`` enlarged pictures, white on black, and their labels.

    Source: the test set of Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998) from scikit-learn.
    Its 13 writers did not write for MNIST. Each of its 8x8 pixels counts the ink in 4x4 pixels of a scan.
    """
    scans = load_digits()
    shuffled = np.random.default_rng(0).permutation(len(scans.images))
    chosen = shuffled[np.isin(scans.target[shuffled], list(digits))][:count]
    return (_enlarged(image) for image in scans.images[chosen]), scans.target[chosen]


def _enlarged(ink: NDArray[np.float64]) -> Image.Image:
    """Pad and enlarge an image: (8, 8), 0..16 -> a picture."""
    pixels = np.pad(ink * 255 / 16, MARGIN).round().astype(np.uint8)
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
