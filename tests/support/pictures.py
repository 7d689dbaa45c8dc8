"""Pictures to prepare, and the distance between two."""

import numpy as np
from PIL import Image
from support.paths import DATA

CIFAR = np.load(DATA / "cifar10-test-200.npz")["images"]


def enlarged(image, side):
    return Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)


def difference(one, other):
    """Mean distance of two arrays of pixels, in levels of 255."""
    return np.abs(one.astype(int) - other.astype(int)).mean()
