"""Tests of the measurements on corrupted images, and of their table and plot."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from support.paths import ROOT
from support.samples import SAMPLES, split

from models.contract import graphs_of, newest_version
from training.data.datasets import Split
from training.evaluation.robustness.corrupted_images import (
    CLEAN,
    COUNT,
    NOISE,
    STANDARD,
    measure_corruptions,
    read_corruptions,
    write_corruptions,
)
from training.recipes.zoo import ZOO
from training.reporting.plots import draw_corruptions
from training.reporting.robustness_tables import corruption_table, describe_corruptions


def newest(name):
    return newest_version(ROOT / "models" / name)


@pytest.fixture(scope="module", params=SAMPLES)
def measured(request):
    """The name of a model and the measurements of its newest version."""
    return request.param, measure_corruptions(newest(request.param), ZOO[request.param], split(request.param), count=30)


def test_every_graph_is_measured_on_every_corruption(measured):
    name, report = measured
    standard = STANDARD[ZOO[name].preparation]
    counts = [30, *(30 * len(corruption.severities) for corruption in standard.values()), *[30] * len(NOISE)]
    assert list(report.graphs) == ["float32", "int8"]
    for rows in report.graphs.values():
        assert [row.corruption for row in rows] == [CLEAN, *standard, *NOISE]
        assert [row.num_images for row in rows] == counts


def test_corruptions_raise_error_and_lower_familiarity(measured):
    _, report = measured
    for precision, (clean, *_corrupted) in report.graphs.items():
        mean = report.mean(precision)
        assert clean.error < 0.15 < mean.error + 0.05
        assert mean.familiar_share < clean.familiar_share


def test_mean_is_over_the_corruptions_of_the_data_set(measured):
    _, report = measured
    rows = report.graphs["int8"][1 : -len(NOISE)]
    mean = report.mean("int8")
    assert mean.error == pytest.approx(np.mean([row.error for row in rows]))
    assert (mean.corruption, mean.num_images) == ("mean of the 15", sum(row.num_images for row in rows))


def test_error_depends_on_the_labels():
    test = split("mnist")
    wrong = Split(images=test.images, labels=(test.labels + 1) % 10)
    report = measure_corruptions(newest("mnist"), ZOO["mnist"], wrong, count=20)
    assert report.graphs["float32"][0].error >= 0.9


def test_images_of_another_shape_are_not_measured():
    images = torch.zeros((4, 64, 64, 3), dtype=torch.uint8)
    other = Split(images=images, labels=torch.zeros(4, dtype=torch.int64))
    assert measure_corruptions(newest("cifar10"), ZOO["cifar10"], other) is None


def test_images_are_prepared_as_in_the_service():
    test = split("mnist")
    inverted = Split(images=255 - test.images, labels=test.labels)  # the preparation makes them white on black
    report = measure_corruptions(newest("mnist"), ZOO["mnist"], inverted, count=40)
    assert report.graphs["float32"][0].error <= 0.1


def test_progress_bar_has_the_number_of_corruptions(capsys):
    measure_corruptions(newest("mnist"), ZOO["mnist"], split("mnist"), count=1)
    (total,) = set(re.findall(r"measuring corruptions: .* \d+/(\S+) ", capsys.readouterr().err))
    assert total == str(1 + 15 + len(NOISE))


def test_corruptions_are_stored_with_the_version(measured, tmp_path):
    write_corruptions(tmp_path, None)
    assert read_corruptions(tmp_path) is None
    write_corruptions(tmp_path, measured[1])
    assert read_corruptions(tmp_path) == measured[1]


def test_table_has_every_measurement_of_every_graph(measured):
    lines = corruption_table(measured[1]).splitlines()
    assert len(lines) == 2 + 1 + 15 + 1 + len(NOISE)
    for rows in zip(*measured[1].graphs.values(), strict=True):
        shares = (share for row in rows for share in (row.error, row.ece, row.familiar_share))
        cells = [rows[0].corruption, f"{rows[0].num_images:,}", *(f"{share:.1%}" for share in shares)]
        assert f"| {' | '.join(cells)} |" in lines
    assert {line.count("|") for line in lines} == {9}


def test_card_names_the_data_set_and_the_limits(measured):
    name, report = measured
    text = describe_corruptions(replace(report, git_commit="abc"), ZOO[name].preparation)
    assert ("CIFAR-10-C" in text) == (name == "cifar10")
    assert ("MNIST-C" in text) == (name == "mnist")
    assert "Calibration holds for pictures like those of the test split" in text
    assert corruption_table(report) in text
    assert "at commit abc" in text


def test_plot_has_a_panel_per_model(measured, tmp_path):
    draw_corruptions(tmp_path / "one.png", {"a": measured[1]})
    draw_corruptions(tmp_path / "two.png", {"a": measured[1], "b": measured[1]})
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert two.width == 2 * one.width


@pytest.mark.parametrize("name", SAMPLES)
def test_published_versions_are_measured_on_all_corruptions(name):
    report = read_corruptions(newest(name))
    assert report.graphs.keys() == graphs_of(newest(name)).keys()
    assert [row.corruption for row in report.graphs["int8"]] == [CLEAN, *STANDARD[ZOO[name].preparation], *NOISE]
    assert report.graphs["int8"][0].num_images == COUNT
    assert "-dirty" not in report.git_commit
