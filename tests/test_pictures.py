"""Pictures as people send them, from images of the committed sample: each way to frame them is read."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from served import ROOT

from benchmarks.pictures import TARGETS, classify, draw_sheet, measure_rows
from benchmarks.unfamiliar import UnfamiliarRow, measure_unfamiliar
from training.data import Split
from training.framed_digits import DIGITS
from training.framed_photos import PHOTOS
from training.framing import native
from training.robustness import frame

DATA = ROOT / "tests" / "data"
COUNT = 40


SAMPLES = {"mnist": "mnist-test-500.npz", "cifar10": "cifar10-test-200.npz"}


def load(name, count=COUNT):
    with np.load(DATA / name) as sample:
        return sample["images"][:count], sample["labels"][:count]


@pytest.mark.parametrize("title", DIGITS)
def test_a_digit_is_read_however_it_is_framed(title):
    images, labels = load("mnist-test-500.npz")
    right = classify("mnist", frame(DIGITS[title], images, title)).argmax(axis=1) == labels
    assert right.mean() >= 0.9


@pytest.mark.parametrize("title", PHOTOS)
def test_a_photograph_is_read_however_it_is_framed(title):
    images, labels = load("cifar10-test-200.npz")
    right = classify("cifar10", frame(PHOTOS[title], images, title)).argmax(axis=1) == labels
    assert right.mean() >= 0.8


def test_every_target_is_of_a_row():
    assert set(TARGETS) <= {*DIGITS, *PHOTOS}


def test_a_row_is_held_to_its_target(monkeypatch):
    monkeypatch.setattr("benchmarks.pictures.TARGETS", {"plain": 0.9, "blank": -0.01})
    images, labels = load("mnist-test-500.npz")
    framings = {"plain": native, "blank": lambda image, random: native(0 * image, random)}
    rows = list(measure_rows("mnist", framings, images, labels))
    assert [row.is_met for row in rows] == [True, False]
    assert rows[1].target == rows[0].accuracy - 0.01
    assert re.fullmatch(r"\| mnist \| plain \| 40 \| [\d.]+% \| ≥ 90.0% \| met \|", rows[0].render())
    assert rows[1].render().endswith(" | MISSED |")


def test_the_sheet_shows_pictures_and_answers(tmp_path):
    draw_sheet(tmp_path / "sheet.png", DATA)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 900


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_pictures_of_other_things_are_told_from_the_models_own(name, monkeypatch):
    monkeypatch.setattr("training.outliers.COUNT", 100)
    images, labels = (torch.from_numpy(array) for array in load(SAMPLES[name], 200))
    rows = list(measure_unfamiliar(name, Split(images=images, labels=labels), DATA))
    assert rows[0].kind == "test images"
    assert rows[0].familiar == pytest.approx(0.95, abs=0.05)
    assert min(row.auroc for row in rows[1:]) >= 0.8
    assert min(row.auroc for row in rows[1:] if row.target) >= 0.88
    assert len([row for row in rows if row.target]) == {"mnist": 6, "cifar10": 3}[name]


def test_a_kind_is_held_to_its_target():
    row = UnfamiliarRow(model="mnist", kind="letters", count=10, familiar=0.1, auroc=0.96, target=0.97)
    assert row.render() == "| mnist | letters | 10 | 96.0% | ≥ 97.0% | MISSED | 10.0% |"
    assert replace(row, auroc=0.97).is_met
    assert replace(row, auroc=None, target=None).is_met
