"""Printed predictions: a table or JSON Lines."""

import json
import sys
from io import BytesIO, TextIOWrapper

import pytest
from support.interrupted_model import InterruptedModel
from support.paths import IMAGES

from service.cli.classify import print_predictions
from service.cli.files import STDIN

SEVEN, THREE = IMAGES / "mnist-7.png", IMAGES / "mnist-3.png"


class FixedModel:
    """Model with the same prediction for every image."""

    name, version, class_names = "fixed", "1", ("ant", "bee", "cat", "dog")

    def __init__(self, probabilities):
        self.prediction = {"label": "cat", "probabilities": dict(zip(self.class_names, probabilities, strict=True))}

    def classify(self, contents):
        return [self.prediction] * len(contents)


def print_json(capsys, paths, model, **options):
    failed = print_predictions(paths, model, as_json=True, **options)
    return failed, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def print_table(capsys, paths, model, **options):
    print_predictions(paths, model, as_json=False, **options)
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")


def test_json_has_all_classes_in_class_order(capsys):
    failed, (row,) = print_json(capsys, [SEVEN], FixedModel([0.1, 0.2, 0.6, 0.1]))
    assert failed == 0
    assert (row["image"], row["model"], row["version"], row["label"]) == (str(SEVEN), "fixed", "1", "cat")
    assert list(row["probabilities"].items()) == [("ant", 0.1), ("bee", 0.2), ("cat", 0.6), ("dog", 0.1)]


def test_json_has_the_most_probable_classes_with_top(capsys):
    _, (row,) = print_json(capsys, [SEVEN], FixedModel([0.1, 0.2, 0.6, 0.1]), top=2)
    assert list(row["probabilities"].items()) == [("cat", 0.6), ("bee", 0.2)]


def test_table_has_three_classes(capsys):
    assert "cat: 60.0 %, bee: 24.0 %, dog: 12.0 % " in print_table(capsys, [SEVEN], FixedModel([0.04, 0.24, 0.6, 0.12]))


def test_table_has_the_most_probable_classes_with_top(capsys):
    assert " cat: 60.0 % " in print_table(capsys, [SEVEN], FixedModel([0.04, 0.24, 0.6, 0.12]), top=1)


def test_table_shows_no_certain_probability(capsys):
    table = print_table(capsys, [SEVEN], FixedModel([0.0, 0.0004, 0.9992, 0.0004]), top=4)
    assert "cat: > 99.9 %, bee: < 0.1 %, dog: < 0.1 %, ant: < 0.1 %" in table


def test_other_images_are_classified_when_one_is_missing(capsys, tmp_path, mnist):
    paths = [tmp_path / "nothing.png", SEVEN, tmp_path, THREE]
    failed, rows = print_json(capsys, paths, mnist)
    assert failed == 2
    assert [row["image"] for row in rows] == list(map(str, paths))
    assert [row.get("label") for row in rows] == [None, "7", None, "3"]
    assert rows[0]["detail"] == "No such file or directory"
    assert "got a folder; classify folders with `score`" in rows[2]["detail"]
    table = print_table(capsys, paths, mnist)
    assert "No such file or directory" in table
    assert "7: > 99.9 %" in table


def test_image_is_read_from_standard_input(capsys, monkeypatch, mnist):
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(SEVEN.read_bytes())))
    failed, (row,) = print_json(capsys, [STDIN, STDIN], mnist)  # it can be read once
    assert (failed, row["image"], row["label"]) == (0, "-", "7")


def test_table_shows_the_results_before_an_interrupt(capsys, mnist):
    with pytest.raises(KeyboardInterrupt):
        print_predictions([SEVEN, THREE], InterruptedModel(mnist, 1), as_json=False, batch_size=1)
    table = capsys.readouterr().out
    assert "mnist-7.png" in table
    assert "mnist-3.png" not in table
