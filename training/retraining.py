"""One run from the data set to a published version: load, fit, calibrate, publish, write it down."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from models.card import Metrics, ModelCard
from training.calibration import fit_temperature
from training.checkpoints import describe_run, load_checkpoint, own_checkpoint, save_checkpoint
from training.data import DataSet
from training.device import describe_hardware
from training.export import CalibratedClassifier
from training.fitting import Fit, Fitting, predict_logits
from training.folders import writable_folder
from training.initialization import initialize
from training.metrics import measure
from training.networks import count_multiply_adds, count_parameters
from training.provenance import REPOSITORY, append_run, git_commit, library_versions
from training.publishing import publish
from training.recipes import Recipe
from training.report import write_report
from training.selection import HardestImages
from training.zoo import TrainableModel

MODELS_DIR = REPOSITORY / "models"
LEDGER = REPOSITORY / "docs" / "runs.jsonl"


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What a person asked for."""

    model: TrainableModel
    recipe_name: str
    recipe: Recipe
    seed: int
    device: torch.device
    data_dir: Path
    out: Path
    checkpoint_dir: Path
    resume: bool
    min_accuracy: float

    @property
    def checkpoint_path(self) -> Path:
        """Each model, recipe and seed has its own."""
        return self.checkpoint_dir / f"{self.model.name}-{self.recipe_name}-seed{self.seed}.pt"


def retrain(asked: Retraining, *, stopped: Callable[[], bool]) -> tuple[Path, ModelCard, Fit]:
    """Train, calibrate and publish; return the version's folder, its card and how it was fitted.

    Args:
        asked: the run.
        stopped: becomes true when the run shall finish with its best epoch so far.

    Raises:
        TrainingError: nothing was published.
        KeyboardInterrupt: likewise, as the run was stopped before its first epoch was over.
    """
    with (
        writable_folder(asked.out / asked.model.name, option="--out"),
        writable_folder(asked.checkpoint_dir, option="--checkpoint-dir"),
        own_checkpoint(asked.checkpoint_path, resume=asked.resume),
    ):
        return _retrain(asked, stopped)


def train(asked: Retraining, data: DataSet, *, stopped: Callable[[], bool]) -> tuple[nn.Module, Fit]:
    """Build the network and fit it, keeping a checkpoint after every epoch."""
    torch.manual_seed(asked.seed)
    network = make_network(asked.model, asked.recipe, data).to(asked.device)
    selector = None
    if asked.recipe.hardest < 1:
        small = replace(asked.recipe, widths=asked.recipe.selector_widths, depth=2)
        selector = HardestImages(make_network(asked.model, small, data), asked.recipe, device=asked.device)
    fitting = Fitting(
        network, data.to(asked.device), asked.recipe, seed=asked.seed, device=asked.device, selector=selector
    )
    run = describe_run(model=asked.model.name, recipe=asked.recipe, seed=asked.seed, md5s=dict(data.md5s))
    if asked.resume:
        fitting.restore(load_checkpoint(asked.checkpoint_path, run=run, device=asked.device))
    fit = fitting.run(
        stopped=stopped,
        after_epoch=lambda: save_checkpoint(asked.checkpoint_path, fitting.checkpoint(run)),
    )
    if fit is None:
        raise KeyboardInterrupt
    return network, fit


def make_network(model: TrainableModel, recipe: Recipe, data: DataSet) -> nn.Sequential:
    """Build a recipe's network, initialised for the data."""
    network = model.build(*data.pixel_statistics(), recipe)
    initialize(network, data.train.images)
    return network


def make_card(
    asked: Retraining, data: DataSet, classifier: CalibratedClassifier, *, version: str, test: Metrics
) -> ModelCard:
    """Return the card that travels inside the ONNX file."""
    return ModelCard(
        name=asked.model.name,
        version=version,
        class_names=asked.model.class_names,
        preparation=asked.model.preparation,
        test=test,
        temperature=classifier.temperature,
        seed=asked.seed,
        parameters=count_parameters(classifier),
        multiply_adds=count_multiply_adds(classifier, data.test.images[:1]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        git_commit=git_commit(),
        recipe={"name": asked.recipe_name, **asdict(asked.recipe)},
        dataset=dict(data.md5s),
        libraries=library_versions(),
    )


def summarize(asked: Retraining, card: ModelCard, fit: Fit, *, val: Metrics, hardware: str) -> dict[str, object]:
    """Return the run as one line of the ledger."""
    return {
        "model": card.name,
        "version": card.version,
        "date": card.date,
        "recipe": asked.recipe_name,
        "seed": card.seed,
        "test": asdict(card.test),
        "val": asdict(val),
        "temperature": card.temperature,
        "epochs": len(fit.history),
        "best_epoch": fit.best.epoch,
        "minutes": round(fit.seconds / 60, 2),
        "hardware": hardware,
        "git_commit": card.git_commit,
        "settings": card.recipe,
    }


def _retrain(asked: Retraining, stopped: Callable[[], bool]) -> tuple[Path, ModelCard, Fit]:
    data = asked.model.load(asked.data_dir)
    network, fit = train(asked, data, stopped=stopped)
    val_logits = predict_logits(network, data.val.images.to(asked.device)).cpu()
    classifier = CalibratedClassifier(network.cpu(), fit_temperature(val_logits, data.val.labels))
    val_probabilities = torch.softmax(val_logits / classifier.temperature, dim=1)
    val = measure(val_probabilities.numpy(), data.val.labels.numpy())
    hardware = describe_hardware(asked.device)
    folder, card = publish(
        classifier,
        out=asked.out,
        name=asked.model.name,
        test=data.test,
        min_accuracy=asked.min_accuracy,
        make_card=lambda version, test: make_card(asked, data, classifier, version=version, test=test),
        describe=lambda folder, card: write_report(folder, asked.model, card, fit, val=val, hardware=hardware),
    )
    if asked.out.resolve() == MODELS_DIR:
        append_run(LEDGER, summarize(asked, card, fit, val=val, hardware=hardware))
    if not fit.stopped:  # a run that was stopped can go on with --resume
        asked.checkpoint_path.unlink(missing_ok=True)
    return folder, card, fit
