"""Requantization: a new version with a new int8 graph and the same float32 graph."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from support.paths import DATA
from support.retraining import make_retraining_options, read_card

from models.contract import FAMILIARITY
from training.evaluation.gate import GateError
from training.export.quantization import check_weight_range
from training.pipeline.requantization import requantize
from training.pipeline.retraining import retrain
from training.recipes.zoo import MNIST
from training.reporting.ledger import NotPublishedError, read_runs

MODEL = replace(MNIST, max_accuracy_loss=1.0)  # 60 images are too few for this gate


@pytest.fixture
def requantized(tmp_path):
    """Publish and requantize a model; return both folders and the ledger."""
    options = make_retraining_options(tmp_path, model=MODEL, epochs=1)
    first = retrain(options, stopped=lambda: False)
    second = requantize(MODEL, DATA, models_dir=options.models_dir, ledger=options.ledger)
    return first.folder, second.folder, options.ledger


def weights(folder):
    return [tensor.raw_data for tensor in onnx.load(folder / "model.onnx").graph.initializer]


def test_requantize_keeps_the_float32_graph(requantized):
    first, second, ledger = requantized
    assert second == first.with_name("2")
    assert sorted(path.name for path in second.iterdir()) == sorted(path.name for path in first.iterdir())
    assert weights(second) == weights(first)
    assert read_card(second) == replace(read_card(first), version="2")
    int8 = read_card(second, "model.int8.onnx")
    assert (int8.version, int8.precision, int8.weight_bits) == ("2", "int8", 7)
    check_weight_range(second / "model.int8.onnx")
    outputs = [output.name for output in onnx.load(second / "model.int8.onnx").graph.output]
    assert outputs == ["probabilities", "logits", FAMILIARITY]
    before, after = read_runs(ledger)
    assert (after.version, after.requantized != "", after.int8) == ("2", True, int8.test)
    assert replace(after, version="1", requantized="", ms_per_image=before.ms_per_image) == replace(
        before, int8=int8.test
    )
    assert "training requantize mnist" in (second / "README.md").read_text()


def test_requantize_rejects_a_graph_that_fails_its_golden_check(requantized):
    first, second, ledger = requantized
    with np.load(second / "golden.npz") as golden:
        wrong = np.roll(golden["probabilities"], 1, axis=1)
        np.savez(second / "golden.npz", images=golden["images"], probabilities=wrong)
    with pytest.raises(GateError, match="golden images: probabilities differ"):
        requantize(MNIST, DATA, models_dir=first.parents[1], ledger=ledger)
    assert sorted(path.name for path in first.parent.iterdir()) == ["1", "2"]


def test_requantize_rejects_a_model_that_is_not_published(tmp_path):
    with pytest.raises(NotPublishedError, match=r"no version in .*mnist has a run in"):
        requantize(MNIST, DATA, models_dir=tmp_path, ledger=tmp_path / "runs.jsonl")
