"""Command line of the training package: ``python -m training retrain mnist``."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from training.cli.adopt import add_adopt
from training.cli.filters import add_filters
from training.cli.interruption import Interruption
from training.cli.options import Commands, Models, add_command, add_data_dir, add_run_options, fraction, seed
from training.cli.study import add_study
from training.device import choose_device, keep_freed_memory
from training.errors import TrainingError
from training.pipeline.experiments import Report, ablate, rewrite_card, train_seeds
from training.pipeline.requantization import requantize
from training.pipeline.retraining import RetrainingOptions, RetrainingResult, retrain
from training.plurals import describe_count
from training.provenance import LEDGER, MODELS_DIR
from training.recipes.zoo import DEFAULT_RECIPE, ZOO, TrainableModel
from training.reporting.ledger import Run

RETRAIN_EPILOG = """\
Ctrl-C once: calibrate, check and publish the best epoch so far; --resume can still continue the run.
Ctrl-C twice: publish nothing; a resumed run keeps its checkpoint, a new run deletes its own.

exit codes: 0 published; 1 nothing published, the reason is printed in one line; 2 wrong usage; 130 interrupted
"""
EXPERIMENT_EPILOG = """\
Nothing is published. Each run adds one line to docs/runs.jsonl, from which `card` renders the model card. Runs that are
already in this file are skipped. Ctrl-C ends the command; run it again to continue.
"""


def main(
    arguments: Sequence[str] | None = None,
    *,
    models: Models = ZOO,
    models_dir: Path = MODELS_DIR,
    ledger: Path = LEDGER,
) -> int:
    """Run a command and return the exit code.

    Args:
        arguments: of the command line; None for those of the process.
        models: that the commands can train, by name.
        models_dir: folder of the published versions.
        ledger: of the training runs.
    """
    parser = make_parser(models)
    options = parser.parse_args(arguments, argparse.Namespace(models_dir=models_dir, ledger=ledger))
    keep_freed_memory()
    try:
        return int(options.run(parser, options))
    except TrainingError as error:
        print(f"{options.model}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def make_parser(models: Models = ZOO) -> argparse.ArgumentParser:
    """Create the parser with all commands."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Train the models of the service.")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_retrain(commands, models)
    _add_experiments(commands, models)
    _add_card(commands, models)
    _add_requantize(commands, models)
    add_adopt(commands)
    add_study(commands)
    add_filters(commands, models)
    return parser


def _add_retrain(commands: Commands, models: Models) -> None:
    add = add_command(
        commands,
        "retrain",
        models=models,
        run=_retrain,
        help="train a model, check it, and publish it as its next version",
        description="Train a model on its data set, calibrate it, export it to ONNX, check it, and publish it as "
        "models/<model>/<next version>/.",
        epilog=RETRAIN_EPILOG,
    )
    add_run_options(add, models)
    add("--seed", type=seed, default=0, help="seed of initialization, image order and augmentation (default 0)")
    add("--out", type=Path, help="folder to publish to (default models/, which accepts only the recipe published)")
    add(
        "--min-accuracy", type=fraction, metavar="0..1", help="test accuracy required to publish (default: the model's)"
    )
    add("--resume", action="store_true", help="continue an interrupted run with the same settings")


def _add_experiments(commands: Commands, models: Models) -> None:
    add = add_command(
        commands,
        "seeds",
        models=models,
        run=_train_seeds,
        help="train a recipe with several seeds to measure its spread",
        description="Train a recipe with several seeds, one after another.",
        epilog=EXPERIMENT_EPILOG,
    )
    add_run_options(add, models)
    add("--seeds", type=seed, nargs="+", required=True, metavar="N")

    add = add_command(
        commands,
        "ablate",
        models=models,
        run=_ablate,
        help="train the published recipe with one part removed at a time",
        description="Train the published recipe, complete and with one part removed at a time, for a third of its "
        "epochs (training/recipes/ablations.py).",
        epilog=EXPERIMENT_EPILOG,
    )
    add_run_options(add, models, recipe=False)


def _add_card(commands: Commands, models: Models) -> None:
    add = add_command(
        commands,
        "card",
        models=models,
        run=_card,
        help="render the newest version's model card again, including later runs",
        description="Render README.md and the plots of the newest version in models/ again, from its files, the "
        "test images and docs/runs.jsonl.",
    )
    add_data_dir(add)


def _add_requantize(commands: Commands, models: Models) -> None:
    add = add_command(
        commands,
        "requantize",
        models=models,
        run=_requantize,
        help="publish the newest version again with a new int8 graph",
        description="Quantize the float32 graph of the newest version in models/ again, measure it, and publish the "
        "result as the next version, without training.",
    )
    add_data_dir(add)


def _retrain(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    out = options.out or options.models_dir
    run_options = _make_retraining_options(parser, options)
    if out.resolve() == options.models_dir.resolve() and options.recipe != DEFAULT_RECIPE:
        parser.error(f"--recipe {options.recipe}: --out is required; models/ accepts only the recipe {DEFAULT_RECIPE}")
    min_accuracy = run_options.model.min_accuracy[options.recipe]
    run_options = replace(
        run_options,
        seed=options.seed,
        out=out,
        resume=options.resume,
        min_accuracy=min_accuracy if options.min_accuracy is None else options.min_accuracy,
    )
    try:
        with Interruption() as interruption:
            print(
                f"training {run_options.model.name} with recipe {run_options.recipe_name} on {run_options.device}",
                file=sys.stderr,
            )
            result = retrain(run_options, stopped=lambda: interruption.requested)
    except KeyboardInterrupt:
        path = run_options.checkpoint_path
        kept = f"checkpoint kept at {path}" if path.exists() else "no checkpoint kept"
        print(f"interrupted: nothing published; {kept}", file=sys.stderr)
        return 130
    stopped = " (best epoch so far; stopped by Ctrl-C)" if result.fit.stopped else ""
    print(f"published {result.folder}{stopped}: {_describe(result.run)}")
    return 0


def _train_seeds(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    return _experiment(
        lambda report: train_seeds(_make_retraining_options(parser, options), options.seeds, report=report),
    )


def _ablate(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    return _experiment(
        lambda report: ablate(_make_retraining_options(parser, options), epochs=options.epochs, report=report),
    )


def _experiment(run: Callable[[Report], None]) -> int:
    def report(name: str, result: RetrainingResult | None) -> None:
        print(f"{name}: {_describe(result.run) if result else 'skipped, already recorded'}", flush=True)

    try:
        run(report)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    return 0


def _card(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    model = options.models[options.model]
    version = rewrite_card(model, options.data_dir, models_dir=options.models_dir, ledger=options.ledger)
    print(f"wrote {version / 'README.md'} and its plots")
    return 0


def _requantize(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    model = options.models[options.model]
    result = requantize(model, options.data_dir, models_dir=options.models_dir, ledger=options.ledger)
    print(f"published {result.folder}: {_describe(result.run)}")
    return 0


def _describe(run: Run) -> str:
    test, int8 = run.test, run.int8
    int8_accuracy = f"; int8 accuracy {int8.accuracy:.2%}" if int8 else ""
    return (
        f"accuracy {test.accuracy:.2%}, nll {test.nll:.4f}, ece {test.ece:.2%} on "
        f"{describe_count(test.num_images, 'test image')}{int8_accuracy}"
    )


def _make_retraining_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> RetrainingOptions:
    """Create the settings common to all runs; the caller sets the others."""
    model: TrainableModel = options.models[options.model]
    if options.recipe not in model.recipes:
        parser.error(f"--recipe: {model.name} has {', '.join(model.recipes)}; got {options.recipe!r}")
    recipe = model.recipes[options.recipe]
    return RetrainingOptions(
        model=model,
        recipe_name=options.recipe,
        recipe=replace(recipe, epochs=options.epochs or recipe.epochs),
        seed=0,
        device=choose_device(options.device),
        data_dir=options.data_dir,
        out=options.models_dir,
        checkpoint_dir=options.checkpoint_dir,
        resume=False,
        min_accuracy=0.0,
        models_dir=options.models_dir,
        ledger=options.ledger,
    )


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End on SIGTERM as on an exception, so that staged folders are removed."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
