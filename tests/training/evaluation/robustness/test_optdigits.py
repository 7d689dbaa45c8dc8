"""Tests of the pictures from UCI optdigits."""

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from training.evaluation.robustness.optdigits import load_optdigits


def test_optdigits_pictures_match_their_labels():
    pictures, labels = load_optdigits(50, range(10))
    digits = load_digits()
    for picture, label in zip(pictures, labels, strict=True):
        assert (picture.size, picture.mode) == ((192, 192), "L")
        small = np.asarray(picture.resize((12, 12), Image.Resampling.BOX))[2:10, 2:10]
        nearest = np.square(digits.images * 255 / 16 - small).sum(axis=(1, 2)).argmin()
        assert digits.target[nearest] == label


def test_optdigits_is_reproducible_and_limited_to_its_size():
    (first, labels), (second, again) = load_optdigits(20, range(10)), load_optdigits(20, range(10))
    assert [picture.tobytes() for picture in first] == [picture.tobytes() for picture in second]
    assert labels.tolist() == again.tolist()
    assert len(load_optdigits(10_000, range(10))[1]) == 1797


def test_optdigits_returns_only_the_requested_digits():
    _, labels = load_optdigits(100, [1, 7])
    assert set(labels.tolist()) == {1, 7}
    assert len(labels) == 100
