"""Digits of other hands come with their labels, as pictures that are no MNIST's."""

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from training.evaluation.optdigits import optdigits


def test_they_are_pictures_of_the_digits_that_their_labels_say():
    pictures, labels = optdigits(50, range(10))
    digits = load_digits()
    for picture, label in zip(pictures, labels, strict=True):
        assert (picture.size, picture.mode) == ((192, 192), "L")
        small = np.asarray(picture.resize((12, 12), Image.Resampling.BOX))[2:10, 2:10]
        nearest = np.square(digits.images * 255 / 16 - small).sum(axis=(1, 2)).argmin()
        assert digits.target[nearest] == label


def test_they_are_the_same_each_time_and_no_more_than_there_are():
    (first, labels), (second, again) = optdigits(20, range(10)), optdigits(20, range(10))
    assert [picture.tobytes() for picture in first] == [picture.tobytes() for picture in second]
    assert labels.tolist() == again.tolist()
    assert len(optdigits(10_000, range(10))[1]) == 1797


def test_those_of_some_digits_are_of_no_others():
    _, labels = optdigits(100, [1, 7])
    assert set(labels.tolist()) == {1, 7}
    assert len(labels) == 100
