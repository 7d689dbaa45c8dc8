"""Plots of the model card, from a run's history and the ONNX file's predictions."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.evaluation.robustness.corrupted_images import CorruptionReport
from training.evaluation.robustness.framed_images import Example
from training.fitting.history import Epoch
from training.metrics import NUM_BINS, confusion_matrix, reliability, worst_mistakes

CURVES = {
    "loss": ("train_loss", "val_loss"),
    "accuracy": ("train_accuracy", "val_accuracy"),
    "learning rate": ("lr",),
}
MISTAKES = (3, 8)  # rows, columns
EXAMPLES = 8  # per row


def draw_curves(path: Path, history: Sequence[Epoch], *, best: int) -> None:
    """Plot loss, accuracy and learning rate per epoch; a dotted line marks ``best``."""
    epochs = [epoch.epoch for epoch in history]
    figure, panels = new_figure(12, 3.6, columns=3)
    for panel, (title, names) in zip(panels, CURVES.items(), strict=True):
        for name in names:
            label = "validation" if name.startswith("val") else "training batches"
            panel.plot(epochs, [getattr(epoch, name) for epoch in history], marker=".", label=label)
        panel.axvline(best, color="grey", linestyle=":")
        panel.set(title=title, xlabel="epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(names) > 1:
            panel.legend()
    save_figure(figure, path)


def draw_confusion(
    path: Path, probabilities: NDArray[np.floating], labels: NDArray[np.integer], class_names: Sequence[str]
) -> None:
    """Plot the confusion matrix; the colour scale excludes the diagonal."""
    counts = confusion_matrix(probabilities, labels)
    mistakes = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    figure, (panel,) = new_figure(6.4, 5.6)
    panel.imshow(mistakes, cmap="Reds", vmax=max(1, mistakes.max() * 1.4))
    for row, column in np.ndindex(*counts.shape):
        weight = "bold" if row == column else "normal"
        if counts[row, column]:
            panel.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=9, fontweight=weight)
    panel.set_xticks(range(len(class_names)), class_names, rotation=45 if max(map(len, class_names)) > 2 else 0)
    panel.set_yticks(range(len(class_names)), class_names)
    panel.set(xlabel="predicted class", ylabel="label")
    save_figure(figure, path)


def draw_reliability(path: Path, probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Plot accuracy by confidence, and a histogram of confidences (Guo et al. 2017)."""
    bins = reliability(probabilities, labels)
    figure, (gaps, counts) = new_figure(9, 3.8, columns=2)
    edges = np.arange(NUM_BINS) / NUM_BINS
    filled = bins.counts > 0
    gaps.plot([0, 1], [0, 1], color="grey", linestyle=":")
    gaps.bar(edges[filled], bins.accuracies[filled], width=1 / NUM_BINS, align="edge", edgecolor="white")
    gaps.plot(bins.confidences[filled], bins.accuracies[filled], "k.", label="accuracy at the bin's mean confidence")
    gaps.set(title="reliability diagram", xlabel="confidence", ylabel="accuracy", xlim=(0, 1))
    gaps.legend()
    counts.bar(edges, bins.counts, width=1 / NUM_BINS, align="edge", edgecolor="white")
    counts.set(title="histogram of confidences", xlabel="confidence", ylabel="images", yscale="log", xlim=(0, 1))
    save_figure(figure, path)


def draw_mistakes(
    path: Path,
    images: NDArray[np.uint8],
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
) -> None:
    """Plot the wrong predictions with the highest confidence."""
    predicted, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows, columns = MISTAKES
    figure, panels = new_figure(12, 1.75 * rows, rows=rows, columns=columns)
    for panel in panels:
        panel.axis("off")
    for panel, index in zip(panels, worst_mistakes(probabilities, labels), strict=False):
        panel.imshow(images[index], cmap="gray", vmin=0, vmax=255)
        prediction = f"{class_names[predicted[index]]} {confidences[index]:.0%}"
        panel.set_title(f"{prediction}\nlabel: {class_names[labels[index]]}", fontsize=9)
    save_figure(figure, path)


def draw_examples(path: Path, examples: Sequence[Example]) -> None:
    """Plot pictures, and below each the model's input pixels and prediction."""
    rows = 2 * math.ceil(len(examples) / EXAMPLES)
    figure, panels = new_figure(12, 1.75 * rows, rows=rows, columns=EXAMPLES)
    for panel in panels:
        panel.axis("off")
    for index, example in enumerate(examples):
        row, column = divmod(index, EXAMPLES)
        above, below = (panels[(2 * row + half) * EXAMPLES + column] for half in (0, 1))
        for panel, shown, title in (
            (above, example.picture, example.title),
            (below, example.pixels, example.prediction),
        ):
            panel.imshow(np.asarray(shown), cmap="gray", vmin=0, vmax=255)
            panel.set_title(textwrap.fill(title.split(":")[0], 20), fontsize=8)
    save_figure(figure, path)


def draw_corruptions(path: Path, reports: Mapping[str, CorruptionReport]) -> None:
    """Plot the float32 graph's error and calibration error per corruption, one panel per title."""
    figure, panels = new_figure(6 * len(reports), 5, columns=len(reports))
    for panel, (title, report) in zip(panels, reports.items(), strict=True):
        rows = report.graphs["float32"][::-1]
        names = [row.corruption for row in rows]
        panel.barh(names, [row.error * 100 for row in rows], label="error")
        panel.plot([row.ece * 100 for row in rows], names, "k|", markersize=9, label="expected calibration error")
        panel.set(title=title, xlabel="%")
        panel.legend()
    save_figure(figure, path)


def new_figure(width: float, height: float, *, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``width`` x ``height`` inches and its panels, row by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(rows, columns, squeeze=False)
    return figure, list(panels.flat)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=80, metadata={"Software": None})
