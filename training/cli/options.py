"""Options shared by the commands, and the parsers of their values."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from training.provenance import REPOSITORY
from training.recipes.zoo import DEFAULT_RECIPE, TrainableModel

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Models = Mapping[str, TrainableModel]  # by name

MAX_SEED = 2**32 - 1  # the seed of each epoch, derived from it, must fit 64 bits (training/fitting/loop.py)
MAX_EPOCHS = 1_000_000


def add_command(
    commands: Commands,
    name: str,
    *,
    models: Models,
    run: Callable[[argparse.ArgumentParser, argparse.Namespace], int],
    **texts: str,
) -> Callable[..., argparse.Action]:
    """Add a command that takes a model; return its ``add_argument``."""
    parser = commands.add_parser(name, formatter_class=argparse.RawDescriptionHelpFormatter, **texts)  # type: ignore[arg-type]
    parser.set_defaults(run=run, models=models, recipe=DEFAULT_RECIPE)
    parser.add_argument("model", choices=models, help=" or ".join(models))
    return parser.add_argument


def add_run_options(add: Callable[..., argparse.Action], models: Models, *, recipe: bool = True) -> None:
    """Add the options of a training run that is stored."""
    if recipe:
        recipes = "; ".join(f"{model.name}: {', '.join(model.recipes)}" for model in models.values())
        add("--recipe", default=DEFAULT_RECIPE, help=f"training recipe ({recipes}; default {DEFAULT_RECIPE})")
    add_fitting_options(add)
    add("--checkpoint-dir", type=Path, default=REPOSITORY / ".checkpoints", help="checkpoints (.checkpoints/)")


def add_fitting_options(add: Callable[..., argparse.Action]) -> None:
    """Add the number of epochs, the device and the data folder."""
    add("--epochs", type=whole_number(1, MAX_EPOCHS), help="number of epochs (default: the recipe's)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto (default): the GPU if there is one")
    add_data_dir(add)


def add_data_dir(add: Callable[..., argparse.Action]) -> None:
    """Add the folder of the data sets."""
    add("--data-dir", type=Path, default=REPOSITORY / "data", help="data sets, downloaded if missing (data/)")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers in ``low``..``high``."""

    def parse(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= len(str(high))
        if not digits or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return parse


seed = whole_number(0, MAX_SEED)


def fraction(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return number
