"""`retrain` command: files of the published version, and its line in the ledger."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from support.paths import DATA
from support.retraining import at_validation, make_retraining_options, output_arguments, read_card

from training.__main__ import main
from training.export.onnx_file import predict_onnx, run_onnx
from training.onnx_session import open_session
from training.pipeline.retraining import retrain
from training.recipes.recipe import DEFORMATION
from training.recipes.zoo import MNIST


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Run two epochs; return the version folder and the path of the ledger."""
    tmp_path = tmp_path_factory.mktemp("published")
    models = {"mnist": replace(MNIST, max_accuracy_loss=1.0)}  # 60 images are too few for this gate
    command = ["retrain", "mnist", "--recipe", "course", "--epochs", "2", "--seed", "3", "--min-accuracy", "0.2"]
    command += ["--data-dir", str(DATA), *output_arguments(tmp_path)]
    assert main(command, models=models, ledger=tmp_path / "runs.jsonl") == 0
    assert list((tmp_path / "checkpoints").iterdir()) == []  # a finished run deletes its checkpoint
    return tmp_path / "models" / "mnist" / "1", tmp_path / "runs.jsonl"


def test_version_has_the_model_golden_images_and_report(published):
    folder, _ = published
    plots = ["confusion.png", "curves.png", "mistakes.png", "pictures.png", "reliability.png"]
    int8 = ["golden.int8.npz", "model.int8.onnx"]
    measured = ["corruptions.json", "history.json", "robustness.json"]
    names = sorted(["README.md", "golden.npz", "model.onnx", *measured, *plots, *int8])
    assert sorted(entry.name for entry in folder.iterdir()) == names
    assert [entry.name for entry in folder.parent.iterdir()] == ["1"]


def test_card_describes_the_training_run(published):
    card = read_card(published[0])
    assert (card.name, card.version, card.class_names, card.preparation) == ("mnist", "1", MNIST.class_names, "digit")
    assert (card.seed, card.recipe["name"], card.recipe["epochs"]) == (3, "course", 2)
    assert (card.parameters, card.multiply_adds) == (235_146, 234_752)
    assert card.test.num_images == 60
    assert card.libraries["torch"] == torch.__version__
    assert len(card.dataset) == 4
    assert re.fullmatch(r"([0-9a-f]{40}(-dirty)?|unknown)", card.git_commit)


def test_readme_agrees_with_the_card(published):
    text, card = (published[0] / "README.md").read_text(), read_card(published[0])
    assert f"| float32 | test | 60 | {card.test.accuracy:.2%} | {card.test.nll:.4f} | {card.test.ece:.2%} |" in text
    assert f"| int8 | test | 60 | {read_card(published[0], 'model.int8.onnx').test.accuracy:.2%} |" in text
    assert f"temperature {card.temperature:.3f}" in text
    assert "retrain mnist --seed 3 --recipe course --epochs 2 --out FOLDER" in text
    assert "{" not in text


def test_graphs_have_familiarity_and_the_readme_its_accuracy(published):
    for graph in ("model.onnx", "model.int8.onnx"):
        assert [output.name for output in open_session(published[0] / graph).get_outputs()][-1] == "familiarity"
    text = (published[0] / "README.md").read_text()
    for kind in ("letters", "symbols", "scribbles", "shapes", "two digits", "noise", "photographs"):
        assert re.search(rf"\| {kind} \| [\d,]+( \| [\d.]+%){{4}} \|", text)


def test_history_has_every_epoch(published):
    history = json.loads((published[0] / "history.json").read_text())
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    assert {"train_loss", "val_loss", "train_accuracy", "val_accuracy", "lr", "images_per_s"} < set(history[0])


@pytest.mark.parametrize("name", ["confusion", "curves", "mistakes", "reliability"])
def test_every_plot_of_the_card_is_an_image_and_shown(published, name):
    assert f"]({name}.png)" in (published[0] / "README.md").read_text()
    with Image.open(published[0] / f"{name}.png") as plot:
        assert plot.width > 500
        assert len(np.unique(np.asarray(plot.convert("L")))) > 20


def test_int8_file_has_its_own_card_and_golden_images(published):
    card, int8 = read_card(published[0]), read_card(published[0], "model.int8.onnx")
    assert (card.precision, int8.precision) == ("float32", "int8")
    assert replace(int8, test=card.test, precision="float32", weight_bits=None) == card
    assert int8.weight_bits == 7
    with np.load(published[0] / "golden.int8.npz") as golden:
        probabilities = predict_onnx(published[0] / "model.int8.onnx", golden["images"])
        np.testing.assert_allclose(probabilities, golden["probabilities"], atol=1e-4)


def test_run_outside_models_is_not_in_the_ledger(published):
    assert not published[1].exists()


def test_run_into_models_adds_one_line_to_the_ledger(tmp_path):
    options = make_retraining_options(tmp_path, epochs=1)
    published = retrain(options, stopped=lambda: False)
    retrain(options, stopped=lambda: False)
    runs = [json.loads(line) for line in options.ledger.read_text().splitlines()]
    assert [run["version"] for run in runs] == ["1", "2"]
    assert runs[0]["test"] == vars(published.card.test)
    assert {"recipe", "seed", "val", "minutes", "hardware", "git_commit"} < set(runs[0])
    assert published.folder.name == "1"


def test_strength_does_not_depend_on_earlier_random_draws(tmp_path):
    logits, settings = [], {"strength_discount": 0.25, "augmentation": DEFORMATION}
    for drawn in (0, 1):
        model = at_validation(MNIST, partial(torch.rand, drawn))
        options = make_retraining_options(tmp_path, model=model, epochs=1, out=str(drawn), **settings)
        folder = retrain(options, stopped=lambda: False).folder
        logits += run_onnx(folder / "model.onnx", ["logits"], MNIST.load(DATA).test.images.numpy())
    np.testing.assert_allclose(*logits, atol=1e-4)


def test_strength_discount_changes_logits_not_probabilities(tmp_path):
    images = MNIST.load(DATA).test.images.numpy()
    outputs = []
    for discount in (0.0, 0.25):
        options = make_retraining_options(tmp_path, epochs=1, out=f"by {discount}", strength_discount=discount)
        folder = retrain(options, stopped=lambda: False).folder
        outputs.append(run_onnx(folder / "model.onnx", ["probabilities", "logits"], images))
    (probabilities, logits), (same, discounted) = outputs
    np.testing.assert_allclose(same, probabilities, atol=1e-4)
    correction = logits - discounted
    np.testing.assert_allclose(correction, np.repeat(correction[:, :1], 10, axis=1), atol=1e-3)
    assert correction.std() > 0.01
