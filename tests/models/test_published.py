"""Checks of the claims of the committed models.

Accuracy is recomputed on all test images if they are present, otherwise on a committed sample.
"""

import json
import re
from dataclasses import asdict

import numpy as np
import pytest
from support.paths import ROOT

from models.contract import INT8_MODEL_FILE, MODEL_FILE
from training.evaluation.robustness.corrupted_images import read_corruptions
from training.evaluation.robustness.measurement import read_robustness
from training.export.onnx_file import predict_onnx
from training.metrics import measure
from training.recipes.zoo import ZOO
from training.reporting.card import HISTORY_FILE, render_card
from training.reporting.ledger import read_runs
from training.reporting.report import read_card

SAMPLES = {"digit": "mnist-test-500.npz", "photo": "cifar10-test-200.npz"}
DATA = {"digit": ROOT / "data" / "MNIST", "photo": ROOT / "data" / "cifar-10-batches-py"}
VERSIONS = sorted(path.parent for name in ZOO for path in (ROOT / "models" / name).glob(f"*/{MODEL_FILE}"))
FILES = [path for folder in VERSIONS for path in sorted(folder.glob("*.onnx"))]
RUNS = read_runs(ROOT / "docs" / "runs.jsonl")


def run_of(folder):
    """Return the entry of the ledger for a version."""
    return next(run for run in reversed(RUNS) if (run.model, run.version) == folder.parts[-2:])


def name(path):
    return "/".join(path.parts[-3:])


@pytest.mark.parametrize("path", FILES, ids=name)
def test_accuracy_of_the_card_is_reproduced(path):
    card = read_card(path)
    if DATA[card.preparation].is_dir():
        test = ZOO[card.name].load(ROOT / "data").test
        found = measure(predict_onnx(path, test.images.numpy()), test.labels.numpy())
        assert found.num_images == card.test.num_images
        assert found.accuracy == pytest.approx(card.test.accuracy, abs=2e-4)  # another CPU may change two images
        assert found.ece == pytest.approx(card.test.ece, abs=1e-3)
        return
    with np.load(ROOT / "tests" / "data" / SAMPLES[card.preparation]) as sample:
        found = measure(predict_onnx(path, sample["images"]), sample["labels"])
    error = np.sqrt(card.test.accuracy * (1 - card.test.accuracy) / found.num_images)
    assert abs(found.accuracy - card.test.accuracy) <= 3 * error


@pytest.mark.parametrize("folder", VERSIONS, ids=name)
def test_version_folder_is_complete_and_its_files_are_small(folder):
    names = {path.name for path in folder.iterdir()}
    assert {MODEL_FILE, "README.md", "golden.npz", HISTORY_FILE, "curves.png"} <= names
    assert (INT8_MODEL_FILE in names) == ("golden.int8.npz" in names)
    assert not [name for name in names if name.endswith(".data")]
    assert all(path.stat().st_size <= 20e6 for path in folder.iterdir())
    assert json.loads((folder / HISTORY_FILE).read_text())


@pytest.mark.parametrize("model", ZOO.values(), ids=lambda model: model.name)
def test_runs_of_every_recipe_reach_its_minimum_accuracy(model):
    assert set(model.min_accuracy) == set(model.recipes)
    for run in (run for run in RUNS if run.model == model.name and not run.ablation):
        if run.settings == json.loads(json.dumps({"name": run.recipe, **asdict(model.recipes[run.recipe])})):
            assert run.test.accuracy >= model.min_accuracy[run.recipe]


def test_every_model_has_one_version():
    assert len(VERSIONS) == len({folder.parent for folder in VERSIONS})


def test_every_teacher_is_committed():
    teachers = {recipe.teacher for model in ZOO.values() for recipe in model.recipes.values()} - {""}
    assert teachers
    assert {folder.parts[-2] + "/" + folder.parts[-1] for folder in VERSIONS} >= teachers


@pytest.mark.parametrize("folder", [path.parent for path in FILES if path.name == INT8_MODEL_FILE], ids=name)
def test_int8_graph_is_twice_as_fast_and_nearly_as_accurate(folder):
    run = run_of(folder)
    int8, float32 = (run.ms_per_image[precision] for precision in ("int8", "float32"))
    assert int8["64"] <= float32["64"] / 2
    assert int8["1"] < float32["1"]
    assert run.int8.accuracy >= run.test.accuracy - 0.002


@pytest.mark.parametrize("folder", VERSIONS, ids=name)
def test_readme_of_a_version_agrees_with_its_files_and_runs(folder):
    text, card, run = (folder / "README.md").read_text(), read_card(folder / MODEL_FILE), run_of(folder)
    assert (run.test, run.temperature, run.seed) == (card.test, card.temperature, card.seed)
    if (folder / INT8_MODEL_FILE).exists():
        assert run.int8 == read_card(folder / INT8_MODEL_FILE).test
    names = "|".join(card.class_names)
    class_row = re.compile(rf"^\| (?:{names}) \| ([\d,]+) \| ([\d.]+)% \| [\d.]+% \|$", re.MULTILINE)
    hits = [int(images.replace(",", "")) * float(recall) / 100 for images, recall in class_row.findall(text)]
    assert len(hits) == len(card.class_names)
    assert sum(hits) / card.test.num_images == pytest.approx(card.test.accuracy, abs=1e-4)
    counts = np.diag([1000] * len(card.class_names))
    size = (folder / MODEL_FILE).stat().st_size / 1e6
    measured = {"corruptions": read_corruptions(folder), "counts": counts, "size": size}
    rendered = render_card(ZOO[card.name], card, run, RUNS, read_robustness(folder), **measured)
    without_classes = [class_row.sub("", part) for part in (text, rendered)]
    assert without_classes[0] == without_classes[1], f"python -m training card {card.name} updates it"
