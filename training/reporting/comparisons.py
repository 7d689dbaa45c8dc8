"""Comparison of runs in the ledger: spread over seeds, and ablations."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

from training.recipes.ablations import ABLATIONS
from training.recipes.recipe import recipe_from_settings
from training.reporting.ledger import Run

ABLATION_TABLE = """\
Ablations, with seed {seed} and fewer than the {all_epochs} epochs of the recipe:

| recipe | epochs | validation accuracy | test accuracy |
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
        f"{describe_repeats(run, runs, lambda one: one.test.accuracy)}, expected calibration error "
        f"{describe_repeats(run, runs, lambda one: one.test.ece)}."
    )


def describe_repeats(run: Run, runs: Sequence[Run], metric: Callable[[Run], float]) -> str:
    """Format mean, standard deviation and n of a metric, 0..1, over seeds."""
    percentages = [metric(one) * 100 for one in _repeats(run, runs)]
    if len(percentages) == 1:
        return "n = 1"
    return f"{statistics.mean(percentages):.2f} ± {statistics.stdev(percentages):.2f} %, n = {len(percentages)}"


def describe_ablations(run: Run, runs: Sequence[Run]) -> str:
    """Render the table of a recipe's ablations, each on the same number of images."""
    same = [other for other in runs if other.ablation and (other.model, other.dataset) == (run.model, run.dataset)]
    recipe = recipe_from_settings(run.settings)
    baselines = [one for one in same if replace(recipe_from_settings(one.settings), epochs=recipe.epochs) == recipe]
    if not baselines:
        return ""
    baseline = max(baselines, key=lambda one: one.epochs)
    rows = {one.ablation: one for one in same if one.seed == baseline.seed and _is_ablation(one, baseline)}
    table = (
        f"| {name} | {one.epochs} | {one.val.accuracy:.2%} | {one.test.accuracy:.2%} |" for name, one in rows.items()
    )
    return ABLATION_TABLE.format(seed=baseline.seed, all_epochs=recipe.epochs, rows="\n".join(table))


def _is_ablation(run: Run, baseline: Run) -> bool:
    """Tell whether a run of equal effort differs from ``baseline`` only by its ablation."""
    changes = ABLATIONS.get(run.model, {}).get(run.ablation)
    if changes is None or _effort(run) != _effort(baseline):
        return False
    recipe = replace(recipe_from_settings(baseline.settings), epochs=recipe_from_settings(run.settings).epochs)
    return recipe_from_settings(run.settings) == replace(recipe, **changes)


def _effort(run: Run) -> int:
    """Return the number of trained images, in epochs of the full training split."""
    recipe = recipe_from_settings(run.settings)
    return round(recipe.epochs * recipe.hardest)


def _repeats(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Return the runs of the same recipe, the latest of each seed."""
    same = [other for other in [*runs, run] if other.is_repeat_of(run) or other is run]
    return list({other.seed: other for other in same}.values())
