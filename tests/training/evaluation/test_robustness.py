"""Tests of the robustness measurements and their sections of the model card."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.paths import DATA, ROOT
from support.samples import SAMPLES, split

from models.contract import graphs_of, newest_version
from training.data.datasets import Split
from training.evaluation.framed import FRAMINGS
from training.evaluation.optdigits import OPTDIGITS
from training.evaluation.outliers import outliers
from training.evaluation.robustness import (
    TEST_IMAGES,
    KindMeasurement,
    Robustness,
    default_count,
    measure_robustness,
    read_robustness,
    write_robustness,
)
from training.recipes.recipe import MNIST_RECIPES
from training.recipes.zoo import ZOO
from training.reporting.robustness_tables import describe_robustness

COUNT = 60


def labelled_kinds(model):
    """Return the labelled kinds that follow the test images."""
    return [*FRAMINGS[model.preparation], *(OPTDIGITS if model.preparation == "digit" else [])]


@pytest.fixture(scope="module", params=SAMPLES)
def measured(request):
    """The model and the robustness of its newest version."""
    name = request.param
    folder = newest_version(ROOT / "models" / name)
    return ZOO[name], measure_robustness(folder, ZOO[name], split(name), DATA, count=COUNT)


def test_every_graph_is_measured_on_every_kind(measured):
    model, robustness = measured
    test = split(model.name)
    kinds = [kind for kind, _ in outliers(model, test, DATA, count=1)]
    assert list(robustness.graphs) == ["float32", "int8"]
    for rows in robustness.graphs.values():
        assert [row.pictures for row in rows] == [TEST_IMAGES, *labelled_kinds(model), *kinds]
        assert [row.count for row in rows] == [len(test)] + [COUNT] * (len(rows) - 1)


def lower_bound(share, count):
    """Return a share minus four standard errors for ``count`` images."""
    return share - 4 * np.sqrt(share * (1 - share) / count) - 1 / count


def test_accuracy_of_framings_matches_the_published_one(measured):
    model, robustness = measured
    published = read_robustness(newest_version(ROOT / "models" / model.name))
    for precision, rows in robustness.graphs.items():
        read = {row.pictures: row for row in rows if row.read is not None}
        assert list(read) == [TEST_IMAGES, *labelled_kinds(model)]
        expected = {row.pictures: row.read for row in published.graphs[precision] if row.pictures in read}
        too_low = {kind: row for kind, row in read.items() if row.read < lower_bound(expected[kind], row.count)}
        assert too_low == {}


def test_familiarity_separates_unrelated_images(measured):
    model, robustness = measured
    for rows in robustness.graphs.values():
        assert rows[0].familiar >= lower_bound(0.95, rows[0].count)
        aurocs = {row.pictures: row.auroc for row in rows if row.auroc is not None}
        assert min(aurocs[kind] for kind in ("noise", "scribbles" if model.name == "mnist" else "textures")) >= 0.88
        assert aurocs.keys().isdisjoint({TEST_IMAGES, *labelled_kinds(model)})


def test_accuracy_depends_on_the_labels():
    test = split("mnist")
    wrong = Split(images=test.images, labels=(test.labels + 1) % 10)
    found = measure_robustness(newest_version(ROOT / "models" / "mnist"), ZOO["mnist"], wrong, DATA, count=20)
    own = [row for row in found.graphs["float32"] if row.read is not None and row.pictures not in OPTDIGITS]
    assert max(row.read for row in own) <= 0.1


def test_each_graph_has_its_own_measurements(measured):
    _, robustness = measured
    float32, int8 = robustness.graphs.values()
    assert list(float32) != list(int8)


def test_default_count_is_a_tenth_up_to_1000():
    assert [default_count(count) for count in (10_000, 60_000, 500, 3)] == [1000, 1000, 50, 1]


def test_robustness_is_stored_with_the_version(tmp_path):
    assert read_robustness(tmp_path) is None
    rows = [KindMeasurement(pictures=TEST_IMAGES, count=3, familiar=0.9, read=1.0)]
    robustness = Robustness(git_commit="abc", graphs={"float32": rows, "int8": [replace(rows[0], read=0.9)]})
    write_robustness(tmp_path, robustness)
    assert read_robustness(tmp_path) == robustness


def test_card_has_every_measurement_of_every_graph(measured):
    model, robustness = measured
    text = describe_robustness(robustness, model.recipes["published"])
    for rows in robustness.kinds()[1:]:
        shares = [share for row in rows for share in (row.read if row.auroc is None else row.auroc, row.familiar)]
        cells = [rows[0].pictures, f"{rows[0].count:,}", *(f"{share:.1%}" for share in shares)]
        assert f"| {' | '.join(cells)} |" in text
    assert f"at commit {robustness.git_commit}" in text


def test_card_describes_the_in_distribution_score(measured):
    _, robustness = measured
    texts = [
        describe_robustness(robustness, recipe) for recipe in (MNIST_RECIPES["published"], MNIST_RECIPES["course"])
    ]
    assert "less its linear dependence on the strength of the strokes" in texts[0]
    assert "the largest logit (training/export/familiarity.py)" in texts[1]


@pytest.mark.parametrize("name", SAMPLES)
def test_published_versions_have_all_current_measurements(name):
    folder = newest_version(ROOT / "models" / name)
    robustness = read_robustness(folder)
    assert robustness.graphs.keys() == graphs_of(folder).keys()
    pictures = [row.pictures for row in robustness.graphs["float32"]]
    framings = [TEST_IMAGES, *labelled_kinds(ZOO[name])]
    assert pictures[: len(framings)] == framings
    for kind, _ in outliers(ZOO[name], split(name), DATA, count=1):
        assert kind in pictures
    assert "-dirty" not in robustness.git_commit
    assert json.loads((folder / "robustness.json").read_text())["graphs"]["float32"][0]["count"] == 10_000
    assert np.isclose(robustness.graphs["float32"][0].familiar, 0.95, atol=0.01)
