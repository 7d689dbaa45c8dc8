"""A model is measured on pictures as people send them, prepared as the service prepares them."""

import numpy as np
import pytest
import torch
from served import ROOT

from benchmarks.pictures import prepare
from models.layout import MODEL_FILE, newest_version
from training.data import Split
from training.framed_digits import DIGITS
from training.framed_photos import PHOTOS
from training.framing import NATIVE
from training.robustness import choose, count_framed, frame, measure_robustness, show_framings
from training.zoo import ZOO

DATA = ROOT / "tests" / "data"
SAMPLES = {"mnist": "mnist-test-500.npz", "cifar10": "cifar10-test-200.npz"}


def split(name):
    with np.load(DATA / SAMPLES[name]) as sample:
        return Split(images=torch.from_numpy(sample["images"]), labels=torch.from_numpy(sample["labels"]))


def graph(name):
    return newest_version(ROOT / "models" / name) / MODEL_FILE


@pytest.mark.parametrize(("name", "framings"), [("mnist", DIGITS), ("cifar10", PHOTOS)])
def test_every_framing_is_measured(name, framings):
    found = measure_robustness(graph(name), ZOO[name].preparation, split(name))
    assert list(found) == list(framings)
    assert min(found.values()) >= 0.8
    assert found[NATIVE] >= 0.95


def test_an_untrained_eye_reads_nothing():
    test = split("mnist")
    wrong = Split(images=test.images, labels=(test.labels + 1) % 10)
    assert max(measure_robustness(graph("mnist"), "digit", wrong).values()) <= 0.1


def test_a_thousand_images_are_framed_of_many_and_a_tenth_of_few():
    assert [count_framed(count) for count in (10_000, 60_000, 500, 3)] == [1000, 1000, 50, 1]


def test_the_same_images_are_framed_the_same_way_each_time():
    first, second = (choose(split("mnist"), 5) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    page = "page: dark ink, uneven tinted paper, JPEG"
    assert frame(DIGITS[page], first[0], page) == frame(DIGITS[page], second[0], page)
    assert frame(DIGITS[page], first[0], page) != frame(DIGITS[page], first[0], "another row")


@pytest.mark.parametrize(("name", "framings"), [("mnist", DIGITS), ("cifar10", PHOTOS)])
def test_examples_are_what_the_service_sees(name, framings):
    test = split(name)
    images, _ = choose(test, len(framings))
    examples = list(show_framings(graph(name), ZOO[name].preparation, test, ZOO[name].class_names))
    assert [example.title for example in examples] == list(framings)
    for index, example in enumerate(examples):
        (file,) = frame(framings[example.title], images[index][None], example.title)
        difference = np.abs(example.pixels.astype(int) - prepare(name, file))
        assert difference.mean() <= (3 if name == "cifar10" else 0)  # the service reads a photograph's JPEG at a draft
