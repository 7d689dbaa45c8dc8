"""Unpublished runs: repeated seeds and ablations, each one line of the ledger."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from training.errors import TrainingError
from training.pipeline.publishing import measure_version
from training.pipeline.retraining import RetrainingOptions, RetrainingResult, retrain
from training.provenance import LEDGER, MODELS_DIR
from training.recipes.ablations import ABLATIONS
from training.recipes.zoo import TrainableModel
from training.reporting.ledger import find_published, identify, read_runs
from training.reporting.report import write_report

ABLATION_FRACTION = 1 / 3  # of the recipe's epochs

Report = Callable[[str, RetrainingResult | None], None]  # run name and result; None if the ledger has the run already


class NoAblationError(TrainingError):
    """The model has no defined ablations."""


def train_seeds(options: RetrainingOptions, seeds: Sequence[int], *, report: Report) -> None:
    """Train the same recipe with several seeds.

    Raises:
        TrainingError: a run failed; the earlier runs are in the ledger.
    """
    for seed in seeds:
        report(f"seed {seed}", _train_unless_recorded(replace(options, seed=seed)))


def ablate(options: RetrainingOptions, *, epochs: int | None, report: Report) -> None:
    """Train the recipe without each of its parts; default: a third of its epochs.

    Raises:
        TrainingError: a run failed; the earlier runs are in the ledger.
    """
    if options.model.name not in ABLATIONS:
        raise NoAblationError(f"no ablations in training/recipes/ablations.py; it has {', '.join(ABLATIONS)}")
    for name, changes in ABLATIONS[options.model.name].items():
        recipe = replace(options.recipe, **changes)
        fraction = (1.0 if epochs else ABLATION_FRACTION) * options.recipe.hardest / recipe.hardest
        recipe = replace(recipe, epochs=max(1, round(recipe.epochs * fraction)))
        ablation = replace(options, model=replace(options.model, int8=False), recipe=recipe, ablation=name)
        report(name, _train_unless_recorded(ablation))


def rewrite_card(
    model: TrainableModel, data_dir: Path, *, models_dir: Path = MODELS_DIR, ledger: Path = LEDGER
) -> Path:
    """Render the card of a model's newest version again; return its folder.

    Robustness is measured again.

    Args:
        model: whose newest version in ``models_dir`` is used.
        data_dir: folder of the data sets.
        models_dir: folder of the published versions.
        ledger: of the training runs.

    Raises:
        NotPublishedError: no version is published, or the ledger has no run of it.
        DataError: the test images cannot be read.
    """
    runs = read_runs(ledger)
    version, run = find_published(model.name, models_dir, runs)
    test = model.load(data_dir).test
    measure_version(version, model, test, data_dir)
    write_report(version, model, run, runs, test)
    return version


def _train_unless_recorded(options: RetrainingOptions) -> RetrainingResult | None:
    """Train and append the run to the ledger; return None if it is there already."""
    dataset = options.model.load(options.data_dir).md5s
    identity = identify(options.model.name, asdict(options.recipe), ablation=options.ablation, dataset=dataset)
    done = [run for run in read_runs(options.ledger) if not run.stopped and run.identity == identity]
    if options.seed in {run.seed for run in done}:
        return None
    options = replace(options, experiment=True)
    with tempfile.TemporaryDirectory() as out:
        resume = options.checkpoint_path.exists()
        return retrain(replace(options, out=Path(out), resume=resume), stopped=lambda: False)
