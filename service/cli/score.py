"""Classification of a folder into a table."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from service.cli.files import BATCH_SIZE, Model, classify_files
from service.cli.prediction_table import PredictionTable, ScoringError

SUFFIXES = {".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".webp"}
SUFFIXES |= {".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff"}


@dataclass(frozen=True, kw_only=True)
class ScoringResult:
    """Result of classifying a folder."""

    images: int
    earlier: int  # classified by an interrupted run
    failed: dict[str, str]  # path -> error message
    skipped: list[str]  # paths of files without an image suffix


def score(folder: Path, out: Path, model: Model, *, batch_size: int = BATCH_SIZE) -> ScoringResult:
    """Classify every image under a folder and write the table ``out``.

    The columns include path, label, confidence, familiarity and the probability of every class. Finished rows are saved
    next to ``out``, so that the next run resumes where this one stopped.

    Args:
        folder: searched recursively for files with an image suffix.
        out: a .csv or .parquet file that does not exist yet.
        model: the model to classify with.
        batch_size: largest number of files per batch.

    Raises:
        ScoringError: the folder has no image, or see PredictionTable.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    skipped = [str(path.relative_to(folder)) for path in files if path.suffix.lower() not in SUFFIXES]
    if not paths:
        raise ScoringError(f"no file under {folder} has an image suffix ({', '.join(sorted(SUFFIXES))})")
    with PredictionTable(out, folder=folder, model=model) as table, _progress() as progress:
        earlier = len(table.errors)
        remaining = [path for path in paths if str(path.relative_to(folder)) not in table.errors]
        task = progress.add_task("images", total=earlier + len(remaining), completed=earlier)
        for predictions in classify_files(remaining, model, batch_size=batch_size):
            table.add({str(path.relative_to(folder)): prediction for path, prediction in predictions.items()})
            progress.advance(task, len(predictions))
        table.finish()
    failed = {path: error for path, error in table.errors.items() if error is not None}
    return ScoringResult(images=len(table.errors), earlier=earlier, failed=failed, skipped=skipped)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
