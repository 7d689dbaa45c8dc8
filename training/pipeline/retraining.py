"""Training runs, from the data set to a published version and a ledger line."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from models.card import Metrics, ModelCard
from models.contract import graphs_of
from training.data.datasets import DataSet, Split
from training.device import describe_hardware
from training.export.calibration import fit_calibration
from training.export.familiarity import add_familiarity
from training.export.folding import centre_logits, discount_strength
from training.export.onnx_file import CalibratedClassifier
from training.export.timing import measure_ms_per_image
from training.fitting.checkpoints import describe_run, discard_checkpoint_on_interrupt, load_checkpoint, save_checkpoint
from training.fitting.history import FitResult
from training.fitting.prediction import predict_logits
from training.metrics import measure
from training.networks.architectures import count_multiply_adds, count_parameters
from training.pipeline.building import make_trainer
from training.pipeline.folders import writable_folder
from training.pipeline.publishing import add_float16, measure_version, staged_version, write_version
from training.provenance import LEDGER, MODELS_DIR, git_commit, library_versions
from training.recipes.recipe import Recipe
from training.recipes.zoo import TrainableModel
from training.reporting.ledger import Run, append_run, read_runs
from training.reporting.report import read_card, write_history, write_report

NUM_DISCOUNT_IMAGES = 10_000  # training images to fit the strength discount


@dataclass(frozen=True, kw_only=True)
class RetrainingOptions:
    """Options of one training run."""

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
    experiment: bool = False  # keep only the line in the ledger
    ablation: str = ""  # name of the change to the recipe
    models_dir: Path = MODELS_DIR  # published versions, for the recipe's teacher
    ledger: Path = LEDGER  # gets a line per experiment and per version published to `models_dir`

    @property
    def checkpoint_path(self) -> Path:
        """A path that is unique per model, recipe, seed, ablation and kind of run."""
        recipe = hashlib.sha256(repr((self.recipe, self.ablation, self.experiment)).encode()).hexdigest()[:8]
        return self.checkpoint_dir / f"{self.model.name}-{self.recipe_name}-seed{self.seed}-{recipe}.pt"


@dataclass(frozen=True, kw_only=True)
class RetrainingResult:
    """Result of a training run."""

    folder: Path  # of the version
    card: ModelCard
    fit: FitResult
    run: Run


def retrain(options: RetrainingOptions, *, stopped: Callable[[], bool]) -> RetrainingResult:
    """Train, calibrate and publish.

    Args:
        options: of the run.
        stopped: once it returns true, training ends and the best epoch so far is published.

    Raises:
        TrainingError: nothing was published.
        KeyboardInterrupt: nothing was published; the run was stopped before the end of its first epoch.
    """
    with (
        writable_folder(options.out / options.model.name, option="--out"),
        writable_folder(options.checkpoint_dir, option="--checkpoint-dir"),
        discard_checkpoint_on_interrupt(options.checkpoint_path, resume=options.resume or options.experiment),
    ):
        return _retrain(options, stopped)


def train(options: RetrainingOptions, data: DataSet, *, stopped: Callable[[], bool]) -> tuple[nn.Module, FitResult]:
    """Build and fit the network; save a checkpoint after every epoch."""
    trainer = make_trainer(
        options.model,
        options.recipe,
        data,
        seed=options.seed,
        device=options.device,
        models_dir=options.models_dir,
    )
    run = describe_run(model=options.model.name, recipe=options.recipe, seed=options.seed, md5s=dict(data.md5s))
    if options.resume:
        trainer.restore(load_checkpoint(options.checkpoint_path, run=run, device=options.device))
    fit = trainer.run(
        stopped=stopped,
        after_epoch=lambda: save_checkpoint(options.checkpoint_path, trainer.checkpoint(run)),
    )
    if fit is None:
        raise KeyboardInterrupt
    return trainer.network, fit


def make_card(
    options: RetrainingOptions,
    data: DataSet,
    classifier: CalibratedClassifier,
    *,
    version: str,
    test: Metrics,
    commit: str,
) -> ModelCard:
    """Return the card for the metadata of the ONNX file."""
    return ModelCard(
        name=options.model.name,
        version=version,
        class_names=options.model.class_names,
        preparation=options.model.preparation,
        test=test,
        temperature=classifier.calibration.temperature,
        floor=classifier.calibration.floor,
        seed=options.seed,
        parameters=count_parameters(classifier),
        multiply_adds=count_multiply_adds(classifier, data.test.images[:1]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        git_commit=commit,
        recipe={"name": options.recipe_name, **asdict(options.recipe)},
        dataset=dict(data.md5s),
        libraries=library_versions(),
    )


def _retrain(options: RetrainingOptions, stopped: Callable[[], bool]) -> RetrainingResult:
    commit, runs = git_commit(), read_runs(options.ledger)  # fail before hours of training
    data = options.model.load(options.data_dir)
    network, fit = train(options, data, stopped=stopped)
    centre_logits(network)
    if options.recipe.strength_discount:
        _discount_strength(network, data, options)
    val_logits = predict_logits(network, data.val.images.to(options.device)).cpu()
    calibration = fit_calibration(val_logits, data.val.labels, smoothed=options.recipe.is_smoothed)
    classifier = CalibratedClassifier(network.cpu(), calibration)
    val = measure(calibration(val_logits).numpy(), data.val.labels.numpy())
    with staged_version(options.out / options.model.name) as staged:
        card = write_version(
            staged.path,
            classifier,
            test=data.test,
            min_accuracy=options.min_accuracy,
            max_accuracy_loss=options.model.max_accuracy_loss,
            make_card=lambda test: make_card(
                options, data, classifier, version=staged.version, test=test, commit=commit
            ),
            calibration=data.train.images if options.model.int8 else None,
        )
        for graph in graphs_of(staged.path).values():
            add_familiarity(graph, data.val, smoothed=options.recipe.is_smoothed)
        if options.model.float16:
            add_float16(staged.path, card, data.test, max_accuracy_loss=options.model.max_accuracy_loss)
        write_history(staged.path, fit.history)
        if not options.experiment:
            measure_version(staged.path, options.model, data.test, options.data_dir)
        run = make_run(options, staged.path, card, fit, val=val, test=data.test)
        write_report(staged.path, options.model, run, runs, data.test)
    if options.experiment or options.out.resolve() == options.models_dir.resolve():
        append_run(options.ledger, run)
    if not fit.stopped:  # --resume can continue a stopped run
        options.checkpoint_path.unlink(missing_ok=True)
    return RetrainingResult(folder=staged.published_folder, card=card, fit=fit, run=run)


def _discount_strength(network: nn.Module, data: DataSet, options: RetrainingOptions) -> None:
    """Fit the strength discount on deformed images; a resumed run gets the same ones."""
    torch.manual_seed(options.seed)
    images = data.train.images[:NUM_DISCOUNT_IMAGES]
    deformed = options.recipe.augmentation(images, mirrored=torch.zeros(len(images), dtype=torch.bool))
    train, val = deformed.to(options.device), data.val.images.to(options.device)
    discount_strength(network, train, val, discount=options.recipe.strength_discount)


def make_run(
    options: RetrainingOptions, folder: Path, card: ModelCard, fit: FitResult, *, val: Metrics, test: Split
) -> Run:
    """Return the run's line of the ledger; measures the speed of the files."""
    graphs = graphs_of(folder)
    assert card.test is not None
    assert card.temperature is not None
    return Run(
        model=card.name,
        version="" if options.experiment else card.version,
        date=card.date,
        recipe=options.recipe_name,
        ablation=options.ablation,
        seed=options.seed,
        settings=card.recipe,
        test=card.test,
        val=val,
        int8=read_card(graphs["int8"]).test if "int8" in graphs else None,
        temperature=card.temperature,
        floor=card.floor,
        epochs=len(fit.history),
        best_epoch=fit.best.epoch,
        stopped=fit.stopped,
        dataset=card.dataset,
        minutes=round(fit.seconds / 60, 2),
        val_accuracies=[round(epoch.val_accuracy, 4) for epoch in fit.history],
        hardware=describe_hardware(options.device),
        ms_per_image=measure_ms_per_image(graphs, test.images.cpu().numpy()),
        timed_on=describe_hardware(torch.device("cpu")),
        git_commit=card.git_commit,
    )
