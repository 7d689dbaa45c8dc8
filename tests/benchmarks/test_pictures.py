"""Tests of benchmarks/pictures.py on the committed samples."""

import numpy as np
import pytest
from PIL import Image
from support.paths import DATA

from benchmarks.pictures import (
    LEAST_AUROC,
    LEAST_READ,
    TOGETHER,
    Row,
    draw_sheet,
    heads,
    least_of,
    measure_rows,
    together,
)
from training.evaluation.framed import FRAMINGS
from training.evaluation.robustness import KindMeasurement
from training.metrics import auroc


def measurement(pictures, *, read=None, auroc=None):
    return KindMeasurement(pictures=pictures, count=40, familiar=0.5, read=read, auroc=auroc)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_every_target_has_a_row(name):
    rows = list(measure_rows(name, DATA, 2))
    titles = {title for framings in FRAMINGS.values() for title in framings}
    assert set(LEAST_READ) <= titles
    with_target = {row.answers[0].pictures for row in rows if row.least[0] is not None}
    assert with_target == {*LEAST_AUROC[name], TOGETHER, *(row.answers[0].pictures for row in rows) & LEAST_READ.keys()}


@pytest.mark.parametrize(("kind", "figure", "least"), [("letters", "auroc", 0.97), ("page", "read", 0.9)])
def test_row_meets_its_target_only_if_every_graph_does(kind, figure, least):
    good, bad = (measurement(kind, **{figure: value}) for value in (least, least - 0.01))
    assert Row(model="mnist", answers=[good, good], least=[least] * 2).is_met
    assert not Row(model="mnist", answers=[good, bad], least=[least] * 2).is_met
    assert Row(model="mnist", answers=[bad, bad], least=[None] * 2).is_met


def test_row_renders_measurements_and_target():
    row = Row(
        model="mnist",
        answers=[measurement("letters", auroc=0.98), measurement("letters", auroc=0.96)],
        least=[0.97] * 2,
    )
    assert row.render() == "| mnist | letters | 40 | 98.0% | 96.0% | 50.0% | 50.0% | 97.0% | MISSED |"
    assert row.render().count("|") == heads("AUROC")[0].count("|") == heads("AUROC")[1].count("|")


def test_enlarged_photo_target_is_relative_to_the_same_graph():
    native = [measurement("as in the test split", read=read) for read in (0.95, 0.94)]
    assert least_of("cifar10", "enlarged, JPEG", native) == [0.94, pytest.approx(0.93)]
    assert least_of("mnist", "white on black, 50 to 2000 px", native) == [0.99, 0.99]
    assert least_of("mnist", "shapes", native) == [None, None]


def test_together_gives_the_auroc_of_the_combined_images():
    random = np.random.default_rng(0)
    real, *others = (random.normal(mean, 1, 200) for mean in (0, -1, -2))
    kinds = [[measurement("some", auroc=auroc(real, other))] for other in others]
    (both,) = together(kinds)
    assert both.auroc == pytest.approx(auroc(real, np.concatenate(others)))
    assert (both.count, both.pictures) == (80, TOGETHER)


def test_sheet_is_drawn(tmp_path):
    draw_sheet(tmp_path / "sheet.png", DATA)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 900
