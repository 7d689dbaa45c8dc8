"""Reports of the studies: curves of every run, a heat map and a table."""

import itertools
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from training.reporting.plots import new_figure, save_figure
from training.study.questions import SEED, Question, Settings
from training.study.runs import Study, StudyRun, write_runs

RUNS_FILE, CURVES_FILE, HEAT_MAP_FILE, TABLE_FILE = "runs.jsonl", "curves.png", "heat.png", "table.md"
NAMES = {
    "lr": "learning rate",
    "batch_size": "batch size",
    "drop_rate": "drop rate",
    "normalized": "batch norm",
    "augmented": "augmentation",
}
GRID = {"lr", "batch_size", "drop_rate"}  # the settings that :func:`draw_grid` supports
COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


def write_if_complete(folder: Path, study: Study, runs: Sequence[StudyRun]) -> str:
    """Write the runs and their report unless runs are missing; return a message."""
    if len(runs) < study.size:
        return f"{len(runs)} of {study.size} runs are complete; other processes train the rest; run again when they end"
    folder.mkdir(parents=True, exist_ok=True)
    write_runs(folder / RUNS_FILE, runs)
    write_study(folder, study.question, runs)
    return f"wrote {len(runs)} runs, their curves and their table to {folder}"


def write_study(folder: Path, question: Question, runs: Sequence[StudyRun]) -> None:
    """Write the plots and the table of a study into a folder."""
    draw = draw_grid if question.grid.keys() >= GRID else draw_comparison
    draw(folder, question, runs)
    (folder / TABLE_FILE).write_text(render_table(question, runs) + "\n")


def draw_grid(folder: Path, question: Question, runs: Sequence[StudyRun]) -> None:
    """Plot the losses by learning rate (row) and batch size (column), and a heat map."""
    rates, sizes, drop_rates = (question.grid[name] for name in ("lr", "batch_size", "drop_rate"))
    figure, panels = new_figure(12, 3.2 * len(rates), rows=len(rates), columns=len(sizes))
    for panel, (lr, batch_size) in zip(panels, itertools.product(rates, sizes), strict=True):
        for drop_rate, color in zip(drop_rates, COLORS, strict=False):
            same = select(runs, lr=lr, batch_size=batch_size, drop_rate=drop_rate)
            _draw_runs(panel, same, "loss", color=color, label=f"drop rate {drop_rate:g}")
        panel.set(title=f"learning rate {lr:g}, batch size {batch_size:g}", yscale="log", ylim=(0.005, 3))
    panels[0].legend(title="solid: validation, dotted: training batches")
    save_figure(figure, folder / CURVES_FILE)
    _draw_heat_map(folder / HEAT_MAP_FILE, question, runs)


def draw_comparison(folder: Path, question: Question, runs: Sequence[StudyRun]) -> None:
    """Plot loss and accuracy of every run, one colour per combination."""
    figure, panels = new_figure(12, 4.4, columns=2)
    for settings, color in zip(combinations(question), COLORS, strict=True):
        for panel, metric in zip(panels, ("loss", "accuracy"), strict=True):
            _draw_runs(panel, select(runs, **settings), metric, color=color, label=_describe(settings))
    panels[1].legend(title="solid: validation, dotted: training batches")
    save_figure(figure, folder / CURVES_FILE)


def render_table(question: Question, runs: Sequence[StudyRun]) -> str:
    """Render a row per combination; unlabelled losses are of the last epoch."""
    header = [NAMES.get(name, name) for name in question.grid if name != SEED]
    header += ["n", "validation accuracy", "test accuracy", "training loss", "validation loss"]
    header += ["lowest validation loss", "epoch of the lowest, per seed", "mean change per epoch", "seconds"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for settings in combinations(question):
        same = select(runs, **settings)
        cells = [*map(_format_value, settings.values()), str(len(same))]
        cells += [
            _format_spread([run.val_accuracy for run in same]),
            _format_spread([run.test_accuracy for run in same]),
        ]
        cells += [
            f"{statistics.mean(run.history[-1][loss] for run in same):.3f}" for loss in ("train_loss", "val_loss")
        ]
        best = [min(run.history, key=lambda epoch: epoch["val_loss"]) for run in same]
        cells.append(f"{statistics.mean(epoch['val_loss'] for epoch in best):.3f}")
        cells.append(", ".join(f"{epoch['epoch']:g}" for epoch in best))
        cells.append(f"{statistics.mean(map(mean_change, same)):.4f}")
        cells.append(f"{statistics.mean(run.seconds for run in same):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def mean_change(run: StudyRun) -> float:
    """Return the mean absolute change of validation loss in a run's second half.

    NaN for a run of one epoch.
    """
    losses = [epoch["val_loss"] for epoch in run.history[max(0, len(run.history) // 2 - 1) :]]
    changes = [abs(after - before) for before, after in itertools.pairwise(losses)]
    return statistics.mean(changes) if changes else math.nan


def combinations(question: Question) -> list[Settings]:
    """Return every combination of a study's settings without the seeds."""
    grid = {name: choices for name, choices in question.grid.items() if name != SEED}
    return [dict(zip(grid, choices, strict=True)) for choices in itertools.product(*grid.values())]


def select(runs: Sequence[StudyRun], **wanted: float) -> list[StudyRun]:
    """Return the runs with the given settings."""
    return [run for run in runs if wanted.items() <= run.settings.items()]


def _draw_runs(panel: Axes, runs: Sequence[StudyRun], metric: str, *, color: str, label: str) -> None:
    """Plot runs that differ only by seed: validation as a line, training dotted."""
    for number, run in enumerate(runs):
        epochs = [epoch["epoch"] for epoch in run.history]
        train, val = ([epoch[f"{split}_{metric}"] for epoch in run.history] for split in ("train", "val"))
        panel.plot(epochs, val, color=color, label=None if number else label)
        panel.plot(epochs, train, color=color, linestyle=":", linewidth=1)
    panel.set(xlabel="epoch", ylabel=metric)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_heat_map(path: Path, question: Question, runs: Sequence[StudyRun]) -> None:
    """Plot the mean validation accuracy of each combination, one panel per drop rate."""
    rates, sizes, drop_rates = (question.grid[name] for name in ("lr", "batch_size", "drop_rate"))
    figure, panels = new_figure(12, 3.4, columns=len(drop_rates))
    grids = [np.array([[_mean(runs, lr, size, drop) for size in sizes] for lr in rates]) for drop in drop_rates]
    low, high = min(grid.min() for grid in grids), max(grid.max() for grid in grids)
    for panel, drop_rate, grid in zip(panels, drop_rates, grids, strict=True):
        panel.imshow(grid, vmin=low, vmax=high, aspect="auto", cmap="viridis")
        for row, column in np.ndindex(*grid.shape):
            shade = "white" if grid[row, column] < (low + high) / 2 else "black"
            panel.text(column, row, f"{grid[row, column]:.2%}", ha="center", va="center", color=shade)
        panel.set_xticks(range(len(sizes)), [f"{size:g}" for size in sizes])
        panel.set_yticks(range(len(rates)), [f"{lr:g}" for lr in rates])
        panel.set(title=f"drop rate {drop_rate:g}", xlabel="batch size", ylabel="learning rate")
    save_figure(figure, path)


def _mean(runs: Sequence[StudyRun], lr: float, batch_size: float, drop_rate: float) -> float:
    same = select(runs, lr=lr, batch_size=batch_size, drop_rate=drop_rate)
    return statistics.mean(run.val_accuracy for run in same)


def _describe(settings: Settings) -> str:
    return ", ".join(f"{NAMES.get(name, name)}: {_format_value(value)}" for name, value in settings.items())


def _format_value(value: float) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else f"{value:g}"


def _format_spread(accuracies: Sequence[float]) -> str:
    return f"{statistics.mean(accuracies):.2%} ± {100 * statistics.stdev(accuracies):.2f}"
