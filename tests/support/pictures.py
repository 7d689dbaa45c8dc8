"""Pictures for preparation tests, and the distance between two pictures."""

import numpy as np
from PIL import Image
from support.paths import DATA

CIFAR = np.load(DATA / "cifar10-test-200.npz")["images"]


def enlarged(image, side):
    return Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)


def difference(one, other):
    """Return the mean absolute difference of two pixel arrays, in levels of 0..255."""
    return np.abs(one.astype(int) - other.astype(int)).mean()
