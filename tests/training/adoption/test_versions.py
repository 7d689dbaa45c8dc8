"""Versions of an adopted classifier, their card, and what the command prints."""

import hashlib
import re

import pytest
from support.foreign_models import CLASSES, MEAN, STD, Foreign
from support.retraining import read_card

from models.card import ResizeParameters
from training.__main__ import main

OPTIONS = ["--preparation", "center-crop", "--side", "36", "--interpolation", "bicubic", "--scale", "1"]


@pytest.fixture
def adopt(tmp_path):
    """Return a function that adopts a file with the given class names."""
    path = Foreign(batch=1, fixed_expand=True).save(tmp_path / "net.onnx")

    def run(names=CLASSES, *, labels="\n".join):
        text = labels(names)
        path_of_labels = tmp_path / ("labels.json" if text[0] in "[{" else "labels.txt")
        path_of_labels.write_text(text)
        normal = ["--mean", *map(str, MEAN), "--std", *map(str, STD)]
        places = ["--labels", str(path_of_labels), "--out", str(tmp_path / "models")]
        return main(["adopt", str(path), "--name", "net", *places, *OPTIONS, *normal])

    return run


def test_card_says_where_the_model_comes_from(adopt, tmp_path):
    assert adopt() == 0
    card = read_card(tmp_path / "models" / "net" / "1")
    assert (card.name, card.version, card.class_names) == ("net", "1", CLASSES)
    assert (card.preparation, card.resize) == ("center-crop", ResizeParameters(side=36, interpolation="bicubic"))
    assert (card.adopted.file, card.adopted.sha256) == (
        "net.onnx",
        hashlib.sha256((tmp_path / "net.onnx").read_bytes()).hexdigest(),
    )
    assert card.adopted.settings["mean"] == list(MEAN)
    assert (card.test, card.temperature, card.seed, card.multiply_adds) == (None, None, None, None)
    assert card.parameters == 8 * 3 * 9 + 8 + (8 * 16 + 8) * 5


def test_readme_says_that_the_accuracy_was_not_measured(adopt, tmp_path):
    assert adopt() == 0
    text = (tmp_path / "models" / "net" / "1" / "README.md").read_text()
    assert "**The accuracy was not measured.**" in text
    assert "| mean | 0.485 0.456 0.406 | --mean |" in text
    assert str(tmp_path) not in text


def test_command_prints_every_fact_with_its_origin(adopt, capsys):
    assert adopt() == 0
    printed = capsys.readouterr().out
    facts = dict(line.split(": ", 1) for line in printed.splitlines()[:-1])
    assert set(facts) == {
        *("type", "layout", "size", "pixels", "mean", "std"),
        *("output", "classes", "preparation", "accuracy", "batches"),
    }
    assert facts["layout"] == "NCHW (graph, input pixels (1, 3, 32, 32))"
    assert facts["output"] == "scores, logits (outputs of 16 random images, which do not sum to 1)"
    assert facts["classes"] == "5: ant, bee, cat, ... (labels.txt)"
    assert facts["batches"].startswith("of any size, one image at a time (graph, batch size 1")
    assert re.search(r"published .*net/1: probabilities within \S+ of net.onnx$", printed)


def test_same_classes_are_a_new_version(adopt, tmp_path):
    assert (adopt(), adopt()) == (0, 0)
    assert read_card(tmp_path / "models" / "net" / "2").version == "2"


def test_other_classes_need_another_name(adopt, tmp_path, capsys):
    assert adopt() == 0
    assert adopt(CLASSES[::-1]) == 1
    assert "net/1 has other classes (5: ant, bee, cat, ...) than this file (5: eel" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "models" / "net").iterdir()] == ["1"]


@pytest.mark.parametrize(
    "labels",
    [
        lambda names: "\ufeff" + "\r\n".join(names) + "\r\n\r\n",
        lambda names: str(list(names)).replace("'", '"'),
        lambda names: str({str(index): name for index, name in reversed(list(enumerate(names)))}).replace("'", '"'),
    ],
)
def test_labels_may_be_lines_a_list_or_id2label(adopt, tmp_path, labels):
    assert adopt(labels=labels) == 0
    assert read_card(tmp_path / "models" / "net" / "1").class_names == CLASSES
