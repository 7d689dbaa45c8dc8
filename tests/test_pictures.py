"""Pictures as people send them, from images of the committed sample: each way to frame them is read."""

import re

import numpy as np
import pytest
from PIL import Image
from served import ROOT

from benchmarks.framings import DIGITS, PHOTOS
from benchmarks.pictures import classify, draw_sheet, frame, measure_rows

DATA = ROOT / "tests" / "data"
COUNT = 40


def load(name):
    with np.load(DATA / name) as sample:
        return sample["images"][:COUNT], sample["labels"][:COUNT]


@pytest.mark.parametrize("title", DIGITS)
def test_a_digit_is_read_however_it_is_framed(title):
    images, labels = load("mnist-test-500.npz")
    right = classify("mnist", frame(DIGITS[title][0], images, title)).argmax(axis=1) == labels
    assert right.mean() >= 0.9


@pytest.mark.parametrize("title", PHOTOS)
def test_a_photograph_is_read_however_it_is_framed(title):
    images, labels = load("cifar10-test-200.npz")
    right = classify("cifar10", frame(PHOTOS[title][0], images, title)).argmax(axis=1) == labels
    assert right.mean() >= 0.8


def test_a_row_is_held_to_its_target():
    images, labels = load("mnist-test-500.npz")
    plain = DIGITS["as in the test split"][0]
    framings = {"plain": (plain, 0.9), "blank": (lambda image, random: plain(0 * image, random), -0.01)}
    rows = list(measure_rows("mnist", framings, images, labels))
    assert [row.is_met for row in rows] == [True, False]
    assert rows[1].target == rows[0].accuracy - 0.01
    assert re.fullmatch(r"\| mnist \| plain \| 40 \| [\d.]+% \| ≥ 90.0% \| met \|", rows[0].render())
    assert rows[1].render().endswith(" | MISSED |")


def test_the_sheet_shows_pictures_and_answers(tmp_path):
    draw_sheet(tmp_path / "sheet.png", DATA)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000
