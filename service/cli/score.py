"""Files classified in batches: those that are named, or every image under a folder, into one table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from service.cli.prediction_table import Made, PredictionTable, ScoringError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
BATCH, BATCH_BYTES = 64, 16 * 1024 * 1024  # whichever is reached first

PredictionRow = dict[str, Any]  # or the problem in its place


class Model(Made, Protocol):
    """Whatever classifies: local, or behind a server."""

    def classify(self, contents: Sequence[bytes]) -> list[PredictionRow]:
        """Return a prediction for each encoded image, or the problem in its place."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What became of a folder's images."""

    images: int
    earlier: int  # of them, by an interrupted run
    failed: dict[str, str]  # path -> why


def score(folder: Path, out: Path, model: Model) -> Scored:
    """Classify every image under a folder; write path, label, confidence, familiarity and every class's probability.

    Rows are kept beside ``out`` as they come, so that the next run goes on where this one was stopped.

    Args:
        folder: searched with all its folders, for files named like images.
        out: a .csv or .parquet file that is not there yet.
        model: that classifies.

    Raises:
        ScoringError: there is no image, or see PredictionTable.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ScoringError(f"no file under {folder} is named like an image ({', '.join(sorted(SUFFIXES))})")
    with PredictionTable(out, folder=folder, model=model) as table, _progress() as progress:
        earlier = len(table.errors)
        left = [path for path in paths if str(path.relative_to(folder)) not in table.errors]
        task = progress.add_task("images", total=earlier + len(left), completed=earlier)
        for predictions in classify_files(left, model):
            table.add({str(path.relative_to(folder)): prediction for path, prediction in predictions.items()})
            progress.advance(task, len(predictions))
        table.finish()
    failed = {path: error for path, error in table.errors.items() if error is not None}
    return Scored(images=len(table.errors), earlier=earlier, failed=failed)


def classify_files(paths: Sequence[Path], model: Model) -> Iterator[dict[Path, PredictionRow]]:
    """Classify files, batch after batch; why one cannot be read stands in its place."""
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
    """Read files, so many at a time as are classified at once."""
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
