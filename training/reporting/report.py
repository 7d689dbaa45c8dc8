"""README.md and plots of a version, from its files, ledger and test split."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import onnx

from models.card import ModelCard
from models.contract import MODEL_FILE
from training.data.datasets import Split
from training.evaluation.robustness.corrupted_images import read_corruptions
from training.evaluation.robustness.framed_images import make_examples
from training.evaluation.robustness.measurement import read_robustness
from training.export.onnx_file import predict_onnx
from training.fitting.history import Epoch
from training.metrics import confusion_matrix
from training.recipes.zoo import TrainableModel
from training.reporting.card import HISTORY_FILE, render_card
from training.reporting.ledger import Run
from training.reporting.plots import draw_confusion, draw_curves, draw_examples, draw_mistakes, draw_reliability


def write_report(folder: Path, model: TrainableModel, run: Run, runs: Sequence[Run], test: Split) -> None:
    """Add README.md and plots to a version that has its ONNX files and history.

    Args:
        folder: of the version.
        model: the definition of the version's model.
        run: the training run of the version.
        runs: the ledger, the source of spread and ablations.
        test: the test split.
    """
    card = read_card(folder / MODEL_FILE)
    images, labels = test.images.cpu().numpy(), test.labels.cpu().numpy()
    probabilities = predict_onnx(folder / MODEL_FILE, images)
    draw_curves(folder / "curves.png", read_history(folder), best=run.best_epoch)
    draw_confusion(folder / "confusion.png", probabilities, labels, card.class_names)
    draw_reliability(folder / "reliability.png", probabilities, labels)
    draw_mistakes(folder / "mistakes.png", images, probabilities, labels, card.class_names)
    robustness = read_robustness(folder)
    if robustness:
        examples = make_examples(folder / MODEL_FILE, card.preparation, test, card.class_names)
        draw_examples(folder / "pictures.png", list(examples))
    size = (folder / MODEL_FILE).stat().st_size / 1e6
    counts = confusion_matrix(probabilities, labels)
    corruptions = read_corruptions(folder)
    text = render_card(model, card, run, runs, robustness, corruptions=corruptions, counts=counts, size=size)
    (folder / "README.md").write_text(text)


def read_card(path: Path) -> ModelCard:
    """Read the card in the metadata of an ONNX file."""
    return ModelCard.from_metadata({entry.key: entry.value for entry in onnx.load(path).metadata_props})


def read_history(folder: Path) -> list[Epoch]:
    """Read every epoch of a version's training run."""
    return [Epoch(**epoch) for epoch in json.loads((folder / HISTORY_FILE).read_text())]


def write_history(folder: Path, history: Sequence[Epoch]) -> None:
    """Write every epoch of a version's training run."""
    (folder / HISTORY_FILE).write_text(json.dumps([asdict(epoch) for epoch in history], indent=1) + "\n")
