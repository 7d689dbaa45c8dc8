"""Options that the commands share, and the values they take."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from training.provenance import REPOSITORY
from training.recipes.zoo import DEFAULT_RECIPE, TrainableModel

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Models = Mapping[str, TrainableModel]  # by name

MAX_SEED = 2**32 - 1  # of every epoch one is made, which must fit 64 bits (training/fitting/loop.py)
MAX_EPOCHS = 1_000_000


def add_command(
    commands: Commands,
    name: str,
    *,
    models: Models,
    run: Callable[[argparse.ArgumentParser, argparse.Namespace], int],
    **texts: str,
) -> Callable[..., argparse.Action]:
    """Add a command that takes a model; return what adds an option to it."""
    parser = commands.add_parser(name, formatter_class=argparse.RawDescriptionHelpFormatter, **texts)  # type: ignore[arg-type]
    parser.set_defaults(run=run, models=models, recipe=DEFAULT_RECIPE)
    parser.add_argument("model", choices=models, help=" or ".join(models))
    return parser.add_argument


def add_run_options(add: Callable[..., argparse.Action], models: Models, *, recipe: bool = True) -> None:
    """Add what every run takes."""
    if recipe:
        recipes = "; ".join(f"{model.name}: {', '.join(model.recipes)}" for model in models.values())
        add("--recipe", default=DEFAULT_RECIPE, help=f"how to train ({recipes}; default {DEFAULT_RECIPE})")
    add_fitting_options(add)
    add("--checkpoint-dir", type=Path, default=REPOSITORY / ".checkpoints", help="default .checkpoints/")


def add_fitting_options(add: Callable[..., argparse.Action]) -> None:
    """Add how long to train, on what, with which images."""
    add("--epochs", type=whole_number(1, MAX_EPOCHS), help="instead of the recipe's")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto is the GPU where there is one")
    add_data_dir(add)


def add_data_dir(add: Callable[..., argparse.Action]) -> None:
    """Add where the data sets are."""
    add("--data-dir", type=Path, default=REPOSITORY / "data", help="of the data sets, downloaded if missing (data/)")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number within limits."""

    def parse(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= len(str(high))
        if not digits or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return parse


seed = whole_number(0, MAX_SEED)


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return number
