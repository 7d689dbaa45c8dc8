"""What the study found: curves of every run, a heat map, a table with spread, and what they show."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from training.figures import new_figure, save_figure
from training.study import GRID, StudyRun

COLORS = {0.0: "tab:blue", 0.3: "tab:orange", 0.5: "tab:green"}  # by drop rate
LOSSES = "train_loss", "val_loss"
RUNS_FILE, CURVES_FILE, HEAT_FILE, TABLE_FILE = "runs.jsonl", "curves.png", "heat.png", "table.md"


def write_study(folder: Path, runs: Sequence[StudyRun]) -> None:
    """Write the figures and the table of a study into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_study_curves(folder / CURVES_FILE, runs)
    draw_heat_map(folder / HEAT_FILE, runs)
    (folder / TABLE_FILE).write_text(render_table(runs) + "\n")


def draw_study_curves(path: Path, runs: Sequence[StudyRun]) -> None:
    """Draw the loss of every run over its epochs: a row a rate, a column a batch size, a colour a drop rate."""
    rows, columns = GRID["lr"], GRID["batch_size"]
    figure, panels = new_figure(12, 3.2 * len(rows), rows=len(rows), columns=len(columns))
    for panel, (lr, batch_size) in zip(panels, ((lr, size) for lr in rows for size in columns), strict=True):
        for run in select(runs, lr=lr, batch_size=batch_size):
            epochs = [epoch["epoch"] for epoch in run.history]
            color, label = COLORS[run.drop_rate], f"dropout {run.drop_rate:g}" if run.seed == 0 else None
            panel.plot(epochs, [epoch["val_loss"] for epoch in run.history], color=color, label=label)
            panel.plot(epochs, [epoch["train_loss"] for epoch in run.history], color=color, linestyle=":", linewidth=1)
        panel.set(title=f"learning rate {lr:g}, batch size {batch_size:g}", yscale="log", ylim=(0.005, 3))
        panel.set(xlabel="epoch", ylabel="loss")
    panels[0].legend(title="validation; dotted: as trained")
    save_figure(figure, path)


def draw_heat_map(path: Path, runs: Sequence[StudyRun]) -> None:
    """Draw the mean validation accuracy of each combination: a panel a drop rate."""
    figure, panels = new_figure(12, 3.4, columns=len(GRID["drop_rate"]))
    grids = [
        np.array([[_mean(runs, lr, size, drop_rate) for size in GRID["batch_size"]] for lr in GRID["lr"]])
        for drop_rate in GRID["drop_rate"]
    ]
    low, high = min(grid.min() for grid in grids), max(grid.max() for grid in grids)
    for panel, drop_rate, grid in zip(panels, GRID["drop_rate"], grids, strict=True):
        panel.imshow(grid, vmin=low, vmax=high, aspect="auto", cmap="viridis")
        for row, column in np.ndindex(*grid.shape):
            shade = "white" if grid[row, column] < (low + high) / 2 else "black"
            panel.text(column, row, f"{grid[row, column]:.2%}", ha="center", va="center", color=shade)
        panel.set_xticks(range(len(GRID["batch_size"])), [f"{size:g}" for size in GRID["batch_size"]])
        panel.set_yticks(range(len(GRID["lr"])), [f"{lr:g}" for lr in GRID["lr"]])
        panel.set(title=f"dropout {drop_rate:g}", xlabel="batch size", ylabel="learning rate")
    save_figure(figure, path)


def render_table(runs: Sequence[StudyRun]) -> str:
    """Return a row for each combination: mean and standard deviation over its seeds."""
    heads = ["learning rate", "batch size", "dropout", "n", "validation accuracy", "test accuracy"]
    heads += ["last training loss", "last validation loss", "seconds"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for lr in GRID["lr"]:
        for batch_size in GRID["batch_size"]:
            for drop_rate in GRID["drop_rate"]:
                same = select(runs, lr=lr, batch_size=batch_size, drop_rate=drop_rate)
                cells = [f"{lr:g}", f"{batch_size:g}", f"{drop_rate:g}", f"{len(same)}"]
                cells += [_spread(same, lambda run: run.val_accuracy), _spread(same, lambda run: run.test_accuracy)]
                cells += [f"{statistics.mean(run.history[-1][name] for run in same):.3f}" for name in LOSSES]
                cells.append(f"{statistics.mean(run.seconds for run in same):.0f}")
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def select(runs: Sequence[StudyRun], **wanted: float) -> list[StudyRun]:
    """Return the runs of some settings."""
    return [run for run in runs if all(getattr(run, name) == value for name, value in wanted.items())]


def _mean(runs: Sequence[StudyRun], lr: float, batch_size: float, drop_rate: float) -> float:
    same = select(runs, lr=lr, batch_size=batch_size, drop_rate=drop_rate)
    return statistics.mean(run.val_accuracy for run in same)


def _spread(runs: Sequence[StudyRun], figure: Callable[[StudyRun], float]) -> str:
    values = [figure(run) for run in runs]
    return f"{statistics.mean(values):.2%} ± {100 * statistics.stdev(values):.2f}"
