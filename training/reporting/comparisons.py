"""Comparison of runs in the ledger: spread over seeds, and ablations."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

from training.recipes.ablations import ABLATIONS
from training.recipes.recipe import read_recipe
from training.reporting.ledger import Run

PARTS = """\
Ablation, with seed {seed} and fewer than the {all_epochs} epochs:

| recipe | epochs | validation | test |
|---|---|---|---|
{rows}

"""


def describe_spread(run: Run, runs: Sequence[Run]) -> str:
    """Describe the results of a run's recipe over all its seeds in the ledger."""
    seeds = sorted({other.seed for other in _repeats(run, runs)})
    if len(seeds) == 1:
        return "Only one seed was trained."
    return (
        f"Mean and standard deviation over the seeds {', '.join(map(str, seeds))}: accuracy "
        f"{describe_repeats(run, runs, lambda one: one.test.accuracy)}, calibration error "
        f"{describe_repeats(run, runs, lambda one: one.test.ece)}."
    )


def describe_repeats(run: Run, runs: Sequence[Run], figure: Callable[[Run], float]) -> str:
    """Format mean, standard deviation and n of a measurement, 0..1, over seeds."""
    percentages = [figure(one) * 100 for one in _repeats(run, runs)]
    if len(percentages) == 1:
        return "n = 1"
    return f"{statistics.mean(percentages):.2f} ± {statistics.stdev(percentages):.2f} %, n = {len(percentages)}"


def describe_ablations(run: Run, runs: Sequence[Run]) -> str:
    """Render the table of a recipe's ablations, each on the same number of images."""
    same = [other for other in runs if other.ablation and (other.model, other.dataset) == (run.model, run.dataset)]
    recipe = read_recipe(run.settings)
    wholes = [one for one in same if replace(read_recipe(one.settings), epochs=recipe.epochs) == recipe]
    if not wholes:
        return ""
    whole = max(wholes, key=lambda one: one.epochs)
    rows = {one.ablation: one for one in same if one.seed == whole.seed and _is_ablation(one, whole)}
    table = (
        f"| {name} | {one.epochs} | {one.val.accuracy:.2%} | {one.test.accuracy:.2%} |" for name, one in rows.items()
    )
    return PARTS.format(seed=whole.seed, all_epochs=recipe.epochs, rows="\n".join(table))


def _is_ablation(run: Run, whole: Run) -> bool:
    """Tell whether a run of equal effort differs from ``whole`` only by its ablation."""
    changes = ABLATIONS.get(run.model, {}).get(run.ablation)
    if changes is None or _effort(run) != _effort(whole):
        return False
    recipe = replace(read_recipe(whole.settings), epochs=read_recipe(run.settings).epochs)
    return read_recipe(run.settings) == replace(recipe, **changes)


def _effort(run: Run) -> int:
    """Return the number of trained images, in epochs of the full training split."""
    recipe = read_recipe(run.settings)
    return round(recipe.epochs * recipe.hardest)


def _repeats(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Return the runs of the same recipe, the latest of each seed."""
    same = [other for other in [*runs, run] if other.is_repeat_of(run) or other is run]
    return list({other.seed: other for other in same}.values())
