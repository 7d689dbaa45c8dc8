"""Batch classification of a list of files or of a folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from service.cli.prediction_table import Made, PredictionTable, ScoringError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
BATCH, BATCH_BYTES = 64, 16 * 1024 * 1024  # limits of a batch in files and bytes

PredictionRow = dict[str, Any]  # or a problem


class Model(Made, Protocol):
    """A local or remote model that classifies encoded images."""

    def classify(self, contents: Sequence[bytes]) -> list[PredictionRow]:
        """Return a prediction or a problem for each encoded image."""

    def close(self) -> None:
        """Release threads or connections."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Result of classifying a folder."""

    images: int
    earlier: int  # classified by an interrupted run
    failed: dict[str, str]  # path -> error message


def score(folder: Path, out: Path, model: Model) -> Scored:
    """Classify every image under a folder and write the table ``out``.

    The columns include path, label, confidence, familiarity and the probability of every class. Finished rows are saved
    next to ``out``, so that the next run resumes where this one stopped.

    Args:
        folder: searched recursively for files with an image suffix.
        out: a .csv or .parquet file that does not exist yet.
        model: the model to classify with.

    Raises:
        ScoringError: the folder has no image, or see PredictionTable.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ScoringError(f"no file under {folder} has an image suffix ({', '.join(sorted(SUFFIXES))})")
    with PredictionTable(out, folder=folder, model=model) as table, _progress() as progress:
        earlier = len(table.errors)
        remaining = [path for path in paths if str(path.relative_to(folder)) not in table.errors]
        task = progress.add_task("images", total=earlier + len(remaining), completed=earlier)
        for predictions in classify_files(remaining, model):
            table.add({str(path.relative_to(folder)): prediction for path, prediction in predictions.items()})
            progress.advance(task, len(predictions))
        table.finish()
    failed = {path: error for path, error in table.errors.items() if error is not None}
    return Scored(images=len(table.errors), earlier=earlier, failed=failed)


def classify_files(paths: Sequence[Path], model: Model) -> Iterator[dict[Path, PredictionRow]]:
    """Classify files in batches.

    A file that cannot be read yields its error as the detail.
    """
    for batch in _batches(paths):
        contents = [content for content in batch.values() if isinstance(content, bytes)]
        predictions = iter(model.classify(contents) if contents else ())
        yield {
            path: next(predictions) if isinstance(content, bytes) else {"detail": str(content)}
            for path, content in batch.items()
        }


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)


def _batches(paths: Sequence[Path]) -> Iterator[dict[Path, bytes | OSError]]:
    """Read files in groups of at most BATCH files and BATCH_BYTES bytes."""
    batch: dict[Path, bytes | OSError] = {}
    size = 0
    for path in paths:
        content = _read(path)
        length = len(content) if isinstance(content, bytes) else 0
        if batch and (len(batch) == BATCH or size + length > BATCH_BYTES):
            yield batch
            batch, size = {}, 0
        batch[path] = content
        size += length
    if batch:
        yield batch


def _read(path: Path) -> bytes | OSError:
    try:
        return path.read_bytes()
    except OSError as error:
        return error
