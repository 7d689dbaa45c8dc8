"""Tests of benchmarks/pictures.py on the committed samples."""

import numpy as np
import pytest
from PIL import Image
from support.paths import DATA, ROOT

from benchmarks.pictures import (
    LOWEST,
    MEAN,
    MIN_ACCURACY,
    MIN_AUROC,
    Row,
    combine,
    draw_sheet,
    make_rows,
    measure,
    minimums,
    render_header,
)
from training.evaluation.robustness.framed_images import FRAMINGS
from training.evaluation.robustness.framing import NATIVE
from training.evaluation.robustness.measurement import KindMeasurement
from training.evaluation.robustness.surroundings import CONTROL
from training.metrics import auroc


def measurement(kind, **shares):
    return KindMeasurement(kind=kind, num_images=40, familiar_share=0.5, **shares)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_every_target_has_a_row(name):
    rows = list(make_rows(name, measure(name, DATA, 2)))
    titles = {title for framings in FRAMINGS.values() for title in framings}
    assert set(MIN_ACCURACY) <= titles
    with_target = {row.measurements[0].kind for row in rows if row.minimums[0] is not None}
    kinds = {row.measurements[0].kind for row in rows}
    controlled = {kind.removesuffix(CONTROL) for kind in kinds if kind.endswith(CONTROL)}
    assert with_target == {*MIN_AUROC[name], *controlled, *kinds & MIN_ACCURACY.keys()}


@pytest.mark.parametrize(("kind", "metric", "minimum"), [("letters", "auroc", 0.97), ("page", "accuracy", 0.9)])
def test_row_meets_its_target_only_if_every_graph_does(kind, metric, minimum):
    good, bad = (measurement(kind, **{metric: value}) for value in (minimum, minimum - 0.01))
    assert Row(model="mnist", measurements=[good, good], minimums=[minimum] * 2).is_met
    assert not Row(model="mnist", measurements=[good, bad], minimums=[minimum] * 2).is_met
    assert Row(model="mnist", measurements=[bad, bad], minimums=[None] * 2).is_met


def test_row_renders_measurements_and_target():
    row = Row(
        model="mnist",
        measurements=[measurement("letters", auroc=0.98), measurement("letters", auroc=0.96)],
        minimums=[0.97] * 2,
    )
    assert row.render() == "| mnist | letters | 40 | 98.0% | 96.0% | 50.0% | 50.0% | 97.0% | MISSED |"
    assert row.render().count("|") == render_header("AUROC")[0].count("|") == render_header("AUROC")[1].count("|")


def test_enlarged_photo_target_is_relative_to_the_same_graph():
    native = [measurement("as in the test split", accuracy=accuracy) for accuracy in (0.95, 0.94)]
    kinds = {NATIVE: native}
    assert minimums("cifar10", "enlarged, JPEG", kinds) == [0.94, pytest.approx(0.93)]
    assert minimums("mnist", "white on black, 50 to 2000 px", kinds) == [0.99, 0.99]
    assert minimums("mnist", "shapes", kinds) == [None, None]


def test_a_kind_with_a_control_needs_nine_tenths_of_its_accuracy():
    kind, control = ([measurement(title, accuracy=accuracy)] for title, accuracy in (("a", 0.5), ("a" + CONTROL, 0.8)))
    assert minimums("mnist", "a", {"a": kind, "a" + CONTROL: control}) == [pytest.approx(0.72)]


def test_unfamiliar_pictures_count_as_right_if_there_is_a_control():
    rare, frequent = ([measurement("a thumb", accuracy=0.5, familiar_errors=share)] for share in (0.1, 0.3))
    assert Row(model="mnist", measurements=rare, minimums=[0.8], has_control=True).is_met
    assert not Row(model="mnist", measurements=frequent, minimums=[0.8], has_control=True).is_met
    assert not Row(model="mnist", measurements=rare, minimums=[0.8]).is_met


def test_accuracy_row_has_a_cell_per_column():
    row = Row(
        model="mnist", measurements=[measurement("a", accuracy=1.0, familiar_errors=0.0)] * 2, minimums=[None] * 2
    )
    assert row.render().count("|") == render_header("accuracy")[0].count("|")


def test_combine_gives_the_auroc_of_the_combined_images():
    random = np.random.default_rng(0)
    real, *others = (random.normal(mean, 1, 200) for mean in (0, -1, -2))
    kinds = [[measurement("some", auroc=auroc(real, other))] for other in others]
    (mean,), (lowest,) = combine(kinds)
    assert mean.auroc == pytest.approx(auroc(real, np.concatenate(others)))
    assert (mean.num_images, mean.kind) == (80, MEAN)
    assert (lowest.auroc, lowest.kind) == (min(kind[0].auroc for kind in kinds), LOWEST)


def test_sheet_is_drawn(tmp_path):
    draw_sheet(tmp_path / "sheet.png", DATA)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 900


def test_recorded_tables_have_the_rendered_headers():
    recorded = (ROOT / "docs" / "pictures.md").read_text()
    assert all("\n".join(render_header(metric)) in recorded for metric in ("accuracy", "AUROC"))
    assert recorded.count(f" | {MEAN} | ") == recorded.count(f" | {LOWEST} | ") == 2
