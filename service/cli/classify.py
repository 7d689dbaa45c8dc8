"""Classification of some files into a table on a terminal, or into JSON Lines."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from service.cli.files import BATCH_SIZE, Model, PredictionRow, classify_files
from service.inference.prediction_json import most_probable

TABLE_CLASSES = 3  # per image, unless requested otherwise


def print_predictions(
    paths: Sequence[Path], model: Model, *, as_json: bool, top: int | None = None, batch_size: int = BATCH_SIZE
) -> int:
    """Classify files, print the predictions, and return the number of failed files.

    An interrupt prints the table of the files that are already classified.

    Args:
        paths: the files.
        model: the model to classify with.
        as_json: print one JSON object per file instead of a table.
        top: number of classes per file, most probable first; by default the JSON has all, in class order.
        batch_size: largest number of files per batch.
    """
    failed = 0
    rows: dict[Path, PredictionRow] = {}
    try:
        for predictions in classify_files(paths, model, batch_size=batch_size):
            failed += sum("label" not in prediction for prediction in predictions.values())
            if as_json:
                _print_json_lines(predictions, model, top)
            else:
                rows |= predictions
    finally:
        if rows:
            _print_table(rows, model, top or TABLE_CLASSES)
    return failed


def _print_json_lines(predictions: Mapping[Path, PredictionRow], model: Model, top: int | None) -> None:
    for path, prediction in predictions.items():
        row = {"image": str(path), "model": model.name, "version": model.version, **prediction}
        if top and "probabilities" in row:
            row["probabilities"] = most_probable(row["probabilities"], top)
        print(json.dumps(row))


def _print_table(predictions: Mapping[Path, PredictionRow], model: Model, top: int) -> None:
    table = Table(
        "image", "label", "most probable", "familiar", title=f"{model.name} {model.version}", title_justify="left"
    )
    for path, prediction in predictions.items():
        if "label" not in prediction:
            table.add_row(str(path), "-", prediction["detail"], "-")
            continue
        classes = most_probable(prediction["probabilities"], top)
        percentages = ", ".join(f"{name}: {_format_percent(probability)}" for name, probability in classes.items())
        familiar = {True: "yes", False: "no", None: "-"}[prediction.get("familiar")]
        table.add_row(str(path), prediction["label"], percentages, familiar)
    Console().print(table, markup=False)


def _format_percent(probability: float) -> str:
    """Format a probability in per cent; near 0 and 1, where rounding hides the difference, as a limit."""
    if probability > 0.999:
        return "> 99.9 %"
    if probability < 0.001:
        return "< 0.1 %"
    return f"{100 * probability:.1f} %"
