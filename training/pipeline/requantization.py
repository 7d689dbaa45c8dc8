"""New versions of published models: new int8 graph, same float32 graph."""

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from models.card import ModelCard
from models.contract import FLOAT16_MODEL_FILE, GOLDEN_FILE, INT8_MODEL_FILE, MODEL_FILE, graphs_of
from training.device import describe_hardware
from training.errors import TrainingError
from training.evaluation.gate import check_golden, write_golden
from training.export.familiarity import add_familiarity
from training.export.onnx_file import predict_onnx, write_card
from training.export.timing import measure_ms_per_image
from training.pipeline.publishing import NUM_GOLDEN, add_int8, measure_version, staged_version
from training.provenance import LEDGER, MODELS_DIR, git_commit, library_versions
from training.recipes.recipe import recipe_from_settings
from training.recipes.zoo import TrainableModel
from training.reporting.card import HISTORY_FILE
from training.reporting.ledger import Run, append_run, find_published, read_runs
from training.reporting.report import read_card, write_report


class RequantizationError(TrainingError):
    """The int8 graph of a published version cannot be created."""


@dataclass(frozen=True, kw_only=True)
class RequantizationResult:
    """The published version and its line in the ledger."""

    folder: Path
    run: Run


def requantize(
    model: TrainableModel, data_dir: Path, *, models_dir: Path = MODELS_DIR, ledger: Path = LEDGER
) -> RequantizationResult:
    """Publish the newest version again with a new int8 graph and new measurements.

    Args:
        model: whose newest version in ``models_dir`` is used.
        data_dir: folder of the data sets.
        models_dir: folder of the published versions.
        ledger: of the training runs; one line is appended.

    Raises:
        NotPublishedError: no version is published, or the ledger has no run of it.
        RequantizationError: quantization failed.
        GateError: the float32 graph fails its own golden check.
        DataError: the data set cannot be read.
    """
    commit, runs = git_commit(), read_runs(ledger)
    source, trained = find_published(model.name, models_dir, runs)
    check_golden(source / MODEL_FILE)  # this machine must compute the float32 graph as PyTorch did
    data = model.load(data_dir)
    with staged_version(models_dir / model.name) as staged:
        card = replace(read_card(source / MODEL_FILE), version=staged.version)
        _copy_version(source, staged.path, staged.version)
        golden = data.test.images[:NUM_GOLDEN].numpy()
        write_golden(staged.path / GOLDEN_FILE, golden, predict_onnx(staged.path / MODEL_FILE, golden))
        if (staged.path / FLOAT16_MODEL_FILE).exists():
            check_golden(staged.path / FLOAT16_MODEL_FILE, "float16")
        add_int8(
            staged.path,
            _describe_now(card, commit),
            data.train.images,
            data.test,
            max_accuracy_loss=model.max_accuracy_loss,
        )
        if not (staged.path / INT8_MODEL_FILE).exists():
            raise RequantizationError("int8 quantization failed (see the message above); nothing published")
        smoothed = recipe_from_settings(card.recipe).is_smoothed
        add_familiarity(staged.path / INT8_MODEL_FILE, data.val, smoothed=smoothed)
        measure_version(staged.path, model, data.test, data_dir)
        run = replace(
            trained,
            version=staged.version,
            requantized=commit,
            int8=read_card(staged.path / INT8_MODEL_FILE).test,
            ms_per_image=measure_ms_per_image(graphs_of(staged.path), data.test.images.numpy()),
            timed_on=describe_hardware(torch.device("cpu")),
        )
        write_report(staged.path, model, run, runs, data.test)
    append_run(ledger, run)
    return RequantizationResult(folder=staged.published_folder, run=run)


def _copy_version(source: Path, target: Path, version: str) -> None:
    """Copy the unchanged graphs and the history; set the version in the cards."""
    for name in (MODEL_FILE, FLOAT16_MODEL_FILE):
        if (source / name).exists():
            shutil.copy(source / name, target / name)
            write_card(target / name, replace(read_card(target / name), version=version))
    shutil.copy(source / HISTORY_FILE, target / HISTORY_FILE)


def _describe_now(card: ModelCard, commit: str) -> ModelCard:
    """Return the card with the provenance of this command."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return replace(card, date=date, git_commit=commit, libraries=library_versions())
