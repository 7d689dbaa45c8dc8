"""Tests of the robustness measurements."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from support.paths import DATA, ROOT
from support.samples import SAMPLES, split

from models.contract import graphs_of, newest_version
from training.data.datasets import Split
from training.evaluation.robustness.framed_images import FRAMINGS
from training.evaluation.robustness.measurement import (
    TEST_IMAGES,
    KindMeasurement,
    Robustness,
    default_count,
    measure_robustness,
    read_robustness,
    write_robustness,
)
from training.evaluation.robustness.optdigits import OPTDIGITS_KINDS
from training.evaluation.robustness.unrelated_images import unrelated_kinds
from training.recipes.zoo import ZOO

COUNT = 60


def labelled_kinds(model):
    """Return the labelled kinds that follow the test images."""
    return [*FRAMINGS[model.preparation], *(OPTDIGITS_KINDS if model.preparation == "digit" else [])]


@pytest.fixture(scope="module", params=SAMPLES)
def measured(request):
    """The model and the robustness of its newest version."""
    name = request.param
    folder = newest_version(ROOT / "models" / name)
    return ZOO[name], measure_robustness(folder, ZOO[name], split(name), DATA, count=COUNT)


def test_every_graph_is_measured_on_every_kind(measured):
    model, robustness = measured
    test = split(model.name)
    kinds = unrelated_kinds(model, test, DATA)
    assert list(robustness.graphs) == ["float32", "int8"]
    for rows in robustness.graphs.values():
        assert [row.kind for row in rows] == [TEST_IMAGES, *labelled_kinds(model), *kinds]
        assert [row.num_images for row in rows] == [len(test)] + [COUNT] * (len(rows) - 1)


def lower_bound(share, count):
    """Return a share minus four standard errors for ``count`` images."""
    return share - 4 * np.sqrt(share * (1 - share) / count) - 1 / count


def test_accuracy_of_framings_matches_the_published_one(measured):
    model, robustness = measured
    published = read_robustness(newest_version(ROOT / "models" / model.name))
    for precision, rows in robustness.graphs.items():
        found = {row.kind: row for row in rows if row.accuracy is not None}
        assert list(found) == [TEST_IMAGES, *labelled_kinds(model)]
        expected = {row.kind: row.accuracy for row in published.graphs[precision] if row.kind in found}
        too_low = {
            kind: row for kind, row in found.items() if row.accuracy < lower_bound(expected[kind], row.num_images)
        }
        assert too_low == {}


def test_familiarity_separates_unrelated_images(measured):
    model, robustness = measured
    for rows in robustness.graphs.values():
        assert rows[0].familiar_share >= lower_bound(0.95, rows[0].num_images)
        aurocs = {row.kind: row.auroc for row in rows if row.auroc is not None}
        assert min(aurocs[kind] for kind in ("noise", "scribbles" if model.name == "mnist" else "textures")) >= 0.88
        assert aurocs.keys().isdisjoint({TEST_IMAGES, *labelled_kinds(model)})


def test_accuracy_depends_on_the_labels():
    test = split("mnist")
    wrong = Split(images=test.images, labels=(test.labels + 1) % 10)
    found = measure_robustness(newest_version(ROOT / "models" / "mnist"), ZOO["mnist"], wrong, DATA, count=20)
    own = [row for row in found.graphs["float32"] if row.accuracy is not None and row.kind not in OPTDIGITS_KINDS]
    assert max(row.accuracy for row in own) <= 0.1


def test_progress_bar_has_the_number_of_kinds(capsys):
    folder = newest_version(ROOT / "models" / "mnist")
    robustness = measure_robustness(folder, ZOO["mnist"], split("mnist"), DATA, count=1)
    (total,) = set(re.findall(r"measuring robustness: .* \d+/(\S+) ", capsys.readouterr().err))
    assert total == str(len(robustness.kinds()))


def test_each_graph_has_its_own_measurements(measured):
    _, robustness = measured
    float32, int8 = robustness.graphs.values()
    assert list(float32) != list(int8)


def test_default_count_is_a_tenth_up_to_1000():
    assert [default_count(count) for count in (10_000, 60_000, 500, 3)] == [1000, 1000, 50, 1]


def test_robustness_is_stored_with_the_version(tmp_path):
    assert read_robustness(tmp_path) is None
    rows = [KindMeasurement(kind=TEST_IMAGES, num_images=3, familiar_share=0.9, accuracy=1.0)]
    robustness = Robustness(git_commit="abc", graphs={"float32": rows, "int8": [replace(rows[0], accuracy=0.9)]})
    write_robustness(tmp_path, robustness)
    assert read_robustness(tmp_path) == robustness


@pytest.mark.parametrize("name", SAMPLES)
def test_published_versions_have_all_current_measurements(name):
    folder = newest_version(ROOT / "models" / name)
    robustness = read_robustness(folder)
    assert robustness.graphs.keys() == graphs_of(folder).keys()
    kinds = [row.kind for row in robustness.graphs["float32"]]
    framings = [TEST_IMAGES, *labelled_kinds(ZOO[name])]
    assert kinds[: len(framings)] == framings
    assert set(unrelated_kinds(ZOO[name], split(name), DATA)) <= set(kinds)
    assert "-dirty" not in robustness.git_commit
    assert json.loads((folder / "robustness.json").read_text())["graphs"]["float32"][0]["num_images"] == 10_000
    assert np.isclose(robustness.graphs["float32"][0].familiar_share, 0.95, atol=0.01)
