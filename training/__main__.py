"""The command line: ``python -m training retrain mnist``."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from training.device import choose_device, keep_freed_memory
from training.errors import TrainingError
from training.interruption import Interruption
from training.provenance import REPOSITORY
from training.retraining import MODELS_DIR, Retraining, retrain
from training.zoo import DEFAULT_RECIPE, ZOO

MAX_SEED = 2**32 - 1  # of every epoch one is made, which must fit 64 bits (training/fitting.py)
MAX_EPOCHS = 1_000_000

EPILOG = """\
Ctrl-C once: the best epoch so far is calibrated, checked and published; --resume can still continue the run.
Ctrl-C twice: nothing is published; the checkpoint that --resume took up stays, a new run's own is deleted.

exit codes: 0 published; 1 nothing published, and one line says why; 2 wrong usage; 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    model = ZOO[options.model]
    if options.recipe not in model.recipes:
        parser.error(f"--recipe: {model.name} has {', '.join(model.recipes)}; got {options.recipe!r}")
    recipe = model.recipes[options.recipe]
    keep_freed_memory()
    try:
        with Interruption() as interruption:
            asked = Retraining(
                model=model,
                recipe_name=options.recipe,
                recipe=replace(recipe, epochs=options.epochs or recipe.epochs),
                seed=options.seed,
                device=choose_device(options.device),
                data_dir=options.data_dir,
                out=options.out,
                checkpoint_dir=options.checkpoint_dir,
                resume=options.resume,
                min_accuracy=model.min_accuracy if options.min_accuracy is None else options.min_accuracy,
            )
            return _retrain(asked, interruption)
    except TrainingError as error:
        print(f"{model.name}: {error}", file=sys.stderr)
        return 1


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Train the models that the service serves.")
    commands = parser.add_subparsers(required=True, metavar="command")
    retrain_parser = commands.add_parser(
        "retrain",
        help="train a model, check it, and publish it as its next version",
        description="Train a model on its data set, calibrate it, export it to ONNX, check it, and publish it as "
        "models/<model>/<next version>/.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    recipes = "; ".join(f"{model.name}: {', '.join(model.recipes)}" for model in ZOO.values())
    add = retrain_parser.add_argument
    add("model", choices=ZOO, help=" or ".join(ZOO))
    add("--recipe", default=DEFAULT_RECIPE, help=f"how to train ({recipes}; default {DEFAULT_RECIPE})")
    add(
        "--seed",
        type=_whole_number(0, MAX_SEED),
        default=0,
        help="of initialisation, order and augmentation (default 0)",
    )
    add("--epochs", type=_whole_number(1, MAX_EPOCHS), help="instead of the recipe's")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto is the GPU where there is one")
    add("--data-dir", type=Path, default=REPOSITORY / "data", help="of the data sets, downloaded if missing (data/)")
    add("--out", type=Path, default=MODELS_DIR, help="where versions are published (default models/)")
    add("--min-accuracy", type=_share, metavar="0..1", help="publish nothing worse (default: the model's own floor)")
    add("--resume", action="store_true", help="go on with an interrupted run of the same settings")
    add("--checkpoint-dir", type=Path, default=REPOSITORY / ".checkpoints", help="default .checkpoints/")
    return parser


def _retrain(asked: Retraining, interruption: Interruption) -> int:
    print(f"training {asked.model.name} by recipe {asked.recipe_name} on {asked.device}", file=sys.stderr)
    try:
        folder, card, fit = retrain(asked, stopped=lambda: interruption.requested)
    except KeyboardInterrupt:
        path = asked.checkpoint_path
        kept = f"{path} stays" if path.exists() else "nothing kept"
        print(f"interrupted: nothing published, {kept}", file=sys.stderr)
        return 130
    stopped = ", stopped early by Ctrl-C: its best epoch so far" if fit.stopped else ""
    print(
        f"published {folder}{stopped}: accuracy {card.test.accuracy:.2%}, nll {card.test.nll:.4f}, "
        f"ece {card.test.ece:.2%} on {card.test.num_images:,} test images"
    )
    return 0


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= len(str(high))
        if not digits or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return parse


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return share


if __name__ == "__main__":
    sys.exit(main())
