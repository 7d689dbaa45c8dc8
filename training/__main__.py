"""The command line: ``python -m training retrain mnist``."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from training.cli.filters import add_filters
from training.cli.interruption import Interruption
from training.cli.options import Commands, Models, add_command, add_data_dir, add_run_options, seed, share
from training.cli.study import add_study
from training.device import choose_device, keep_freed_memory
from training.errors import TrainingError
from training.pipeline.experiments import Report, ablate, rewrite_card, train_seeds
from training.pipeline.requantization import requantize
from training.pipeline.retraining import Published, Retraining, retrain
from training.provenance import MODELS_DIR
from training.recipes.zoo import DEFAULT_RECIPE, ZOO, TrainableModel
from training.reporting.ledger import Run

RETRAIN_EPILOG = """\
Ctrl-C once: the best epoch so far is calibrated, checked and published; --resume can still continue the run.
Ctrl-C twice: nothing is published; the checkpoint that --resume took up stays, a new run's own is deleted.

exit codes: 0 published; 1 nothing published, and one line says why; 2 wrong usage; 130 interrupted
"""
EXPERIMENT_EPILOG = """\
Nothing is published: each run becomes one line of docs/runs.jsonl, from which `card` renders the model card. Runs that
are in there already are not repeated. Ctrl-C ends the command; the next one goes on where it was.
"""


def main(arguments: Sequence[str] | None = None, *, models: Models = ZOO) -> int:
    """Run a command on one of ``models`` and return its exit code."""
    parser = make_parser(models)
    options = parser.parse_args(arguments)
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
    """Return the parser of every command."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Train the models that the service serves.")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_retrain(commands, models)
    _add_experiments(commands, models)
    _add_card(commands, models)
    _add_requantize(commands, models)
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
    add("--seed", type=seed, default=0, help="of initialisation, order and augmentation (default 0)")
    add("--out", type=Path, help="where versions are published (models/; only the recipe published may go there)")
    add("--min-accuracy", type=share, metavar="0..1", help="publish nothing worse (default: the model's own floor)")
    add("--resume", action="store_true", help="go on with an interrupted run of the same settings")


def _add_experiments(commands: Commands, models: Models) -> None:
    add = add_command(
        commands,
        "seeds",
        models=models,
        run=_train_seeds,
        help="train a recipe with several seeds, for its spread",
        description="Train a recipe with several seeds, one after the other.",
        epilog=EXPERIMENT_EPILOG,
    )
    add_run_options(add, models)
    add("--seeds", type=seed, nargs="+", required=True, metavar="N")

    add = add_command(
        commands,
        "ablate",
        models=models,
        run=_ablate,
        help="train the published recipe without each of its parts",
        description="Train the published recipe, and the same without each of its parts in turn, on a third of its "
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
        help="render the newest version's model card again, with the runs that came after it",
        description="Render README.md and the figures of the newest version in models/ again, from its files, the "
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
        "result as the next version. Nothing is trained.",
    )
    add_data_dir(add)


def _retrain(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    out = options.out or MODELS_DIR
    retraining = _make_retraining(parser, options)
    if out.resolve() == MODELS_DIR and options.recipe != DEFAULT_RECIPE:
        parser.error(f"--recipe {options.recipe}: name a folder with --out; models/ holds the recipe {DEFAULT_RECIPE}")
    floor = options.min_accuracy
    retraining = replace(
        retraining,
        seed=options.seed,
        out=out,
        resume=options.resume,
        min_accuracy=retraining.model.min_accuracy[options.recipe] if floor is None else floor,
    )
    try:
        with Interruption() as interruption:
            print(
                f"training {retraining.model.name} by recipe {retraining.recipe_name} on {retraining.device}",
                file=sys.stderr,
            )
            published = retrain(retraining, stopped=lambda: interruption.requested)
    except KeyboardInterrupt:
        path = retraining.checkpoint_path
        kept = f"{path} stays" if path.exists() else "nothing kept"
        print(f"interrupted: nothing published, {kept}", file=sys.stderr)
        return 130
    stopped = ", stopped early by Ctrl-C: its best epoch so far" if published.fit.stopped else ""
    print(f"published {published.folder}{stopped}: {_describe(published.run)}")
    return 0


def _train_seeds(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    return _experiment(lambda report: train_seeds(_make_retraining(parser, options), options.seeds, report=report))


def _ablate(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    return _experiment(lambda report: ablate(_make_retraining(parser, options), epochs=options.epochs, report=report))


def _experiment(run: Callable[[Report], None]) -> int:
    def report(name: str, published: Published | None) -> None:
        print(f"{name}: {_describe(published.run) if published else 'in docs/runs.jsonl already'}", flush=True)

    try:
        run(report)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return 130
    return 0


def _card(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    print(f"wrote {rewrite_card(options.models[options.model], options.data_dir) / 'README.md'} and its figures")
    return 0


def _requantize(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    published = requantize(options.models[options.model], options.data_dir)
    print(f"published {published.folder}: {_describe(published.run)}")
    return 0


def _describe(run: Run) -> str:
    test, int8 = run.test, run.int8
    eight_bits = f"; in 8 bits {int8.accuracy:.2%}" if int8 else ""
    return (
        f"accuracy {test.accuracy:.2%}, nll {test.nll:.4f}, ece {test.ece:.2%} on {test.num_images:,} test images"
        f"{eight_bits}"
    )


def _make_retraining(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Retraining:
    """Return what the options of every run say; the rest is for the command to fill in."""
    model: TrainableModel = options.models[options.model]
    if options.recipe not in model.recipes:
        parser.error(f"--recipe: {model.name} has {', '.join(model.recipes)}; got {options.recipe!r}")
    recipe = model.recipes[options.recipe]
    return Retraining(
        model=model,
        recipe_name=options.recipe,
        recipe=replace(recipe, epochs=options.epochs or recipe.epochs),
        seed=0,
        device=choose_device(options.device),
        data_dir=options.data_dir,
        out=MODELS_DIR,
        checkpoint_dir=options.checkpoint_dir,
        resume=False,
        min_accuracy=0.0,
    )


if __name__ == "__main__":
    sys.exit(main())
