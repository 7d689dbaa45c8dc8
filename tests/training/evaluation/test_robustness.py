"""How the graphs of a version answer pictures unlike the test images, as its card says it."""

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


def read_kinds(model):
    """Every kind of pictures that can be read, after the test images themselves."""
    return [*FRAMINGS[model.preparation], *(OPTDIGITS if model.preparation == "digit" else [])]


@pytest.fixture(scope="module", params=SAMPLES)
def measured(request):
    """(model, robustness of its newest version)."""
    name = request.param
    folder = newest_version(ROOT / "models" / name)
    return ZOO[name], measure_robustness(folder, ZOO[name], split(name), DATA, count=COUNT)


def test_every_kind_is_put_to_every_graph(measured):
    model, robustness = measured
    test = split(model.name)
    kinds = [kind for kind, _ in outliers(model, test, DATA, count=1)]
    assert list(robustness.graphs) == ["float32", "int8"]
    for rows in robustness.graphs.values():
        assert [row.pictures for row in rows] == [TEST_IMAGES, *read_kinds(model), *kinds]
        assert [row.count for row in rows] == [len(test)] + [COUNT] * (len(rows) - 1)


def lowest_likely(share, count):
    """The lowest share in a sample of ``count`` images of a kind with this share: four standard errors below."""
    return share - 4 * np.sqrt(share * (1 - share) / count) - 1 / count


def test_test_images_are_read_however_they_are_framed(measured):
    model, robustness = measured
    published = read_robustness(newest_version(ROOT / "models" / model.name))
    for precision, rows in robustness.graphs.items():
        read = {row.pictures: row for row in rows if row.read is not None}
        assert list(read) == [TEST_IMAGES, *read_kinds(model)]
        expected = {row.pictures: row.read for row in published.graphs[precision] if row.pictures in read}
        too_low = {kind: row for kind, row in read.items() if row.read < lowest_likely(expected[kind], row.count)}
        assert too_low == {}


def test_test_images_are_familiar_and_other_things_are_told_from_them(measured):
    model, robustness = measured
    for rows in robustness.graphs.values():
        assert rows[0].familiar >= lowest_likely(0.95, rows[0].count)
        aurocs = {row.pictures: row.auroc for row in rows if row.auroc is not None}
        assert min(aurocs[kind] for kind in ("noise", "scribbles" if model.name == "mnist" else "textures")) >= 0.88
        assert aurocs.keys().isdisjoint({TEST_IMAGES, *read_kinds(model)})


def test_what_is_read_depends_on_the_labels():
    test = split("mnist")
    wrong = Split(images=test.images, labels=(test.labels + 1) % 10)
    found = measure_robustness(newest_version(ROOT / "models" / "mnist"), ZOO["mnist"], wrong, DATA, count=20)
    own = [row for row in found.graphs["float32"] if row.read is not None and row.pictures not in OPTDIGITS]
    assert max(row.read for row in own) <= 0.1


def test_the_graphs_are_measured_each_for_itself(measured):
    _, robustness = measured
    float32, int8 = robustness.graphs.values()
    assert list(float32) != list(int8)


def test_a_thousand_pictures_are_made_of_many_test_images_and_a_tenth_of_few():
    assert [default_count(count) for count in (10_000, 60_000, 500, 3)] == [1000, 1000, 50, 1]


def test_it_is_kept_with_the_version(tmp_path):
    assert read_robustness(tmp_path) is None
    rows = [KindMeasurement(pictures=TEST_IMAGES, count=3, familiar=0.9, read=1.0)]
    robustness = Robustness(git_commit="abc", graphs={"float32": rows, "int8": [replace(rows[0], read=0.9)]})
    write_robustness(tmp_path, robustness)
    assert read_robustness(tmp_path) == robustness


def test_the_card_has_every_figure_of_every_graph(measured):
    model, robustness = measured
    text = describe_robustness(robustness, model.recipes["published"])
    for rows in robustness.kinds()[1:]:
        shares = [share for row in rows for share in (row.read if row.auroc is None else row.auroc, row.familiar)]
        cells = [rows[0].pictures, f"{rows[0].count:,}", *(f"{share:.1%}" for share in shares)]
        assert f"| {' | '.join(cells)} |" in text
    assert f"at commit {robustness.git_commit}" in text


def test_the_card_says_what_familiarity_is_told_by(measured):
    _, robustness = measured
    said = [describe_robustness(robustness, recipe) for recipe in (MNIST_RECIPES["published"], MNIST_RECIPES["course"])]
    assert "less its linear dependence on the strength of the strokes" in said[0]
    assert "the largest logit (training/export/familiarity.py)" in said[1]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_published_versions_were_measured_by_all_that_is_measured_today(name):
    folder = newest_version(ROOT / "models" / name)
    robustness = read_robustness(folder)
    assert robustness.graphs.keys() == graphs_of(folder).keys()
    pictures = [row.pictures for row in robustness.graphs["float32"]]
    framings = [TEST_IMAGES, *read_kinds(ZOO[name])]
    assert pictures[: len(framings)] == framings
    for kind, _ in outliers(ZOO[name], split(name), DATA, count=1):
        assert kind in pictures
    assert "-dirty" not in robustness.git_commit
    assert json.loads((folder / "robustness.json").read_text())["graphs"]["float32"][0]["count"] == 10_000
    assert np.isclose(robustness.graphs["float32"][0].familiar, 0.95, atol=0.01)
