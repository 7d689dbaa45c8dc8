"""Every image under a folder, classified into one table, a row a file; what was interrupted goes on."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
BATCH, BATCH_BYTES = 64, 16 * 1024 * 1024  # whichever is reached first
FORMATS = {".csv", ".parquet"}


class ScoringError(RuntimeError):
    """The table cannot be begun, gone on with, or written."""


class Model(Protocol):
    """Whatever classifies: local, or behind a server."""

    @property
    def name(self) -> str:
        """Return the model's name."""

    @property
    def version(self) -> str:
        """Return its version."""

    @property
    def class_names(self) -> Sequence[str]:
        """Return its classes in order."""

    def classify(self, contents: Sequence[bytes]) -> list[dict[str, Any]]:
        """Return a prediction for each encoded image, or the problem in its place."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass
class Scored:
    """What became of a folder's images."""

    images: int = 0
    earlier: int = 0  # of them, by an interrupted run
    failed: list[tuple[str, str]] = field(default_factory=list)  # path, why; in this run


def score(folder: Path, out: Path, model: Model) -> Scored:
    """Classify every image under a folder; write path, label, confidence, familiarity and every class's probability.

    Rows are kept beside ``out`` as they come, so that the next run goes on where this one was stopped.

    Args:
        folder: searched with all its folders, for files named like images.
        out: a .csv or .parquet file that is not there yet.
        model: that classifies.

    Raises:
        ScoringError: there is no image, ``out`` exists or is of another kind, or an earlier run's rows are of another
            model.
    """
    if out.suffix not in FORMATS:
        raise ScoringError(f"{out}: expected a name that ends in {' or '.join(sorted(FORMATS))}")
    if out.exists():
        raise ScoringError(f"{out} is there already; name another file, or remove it")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ScoringError(f"no file under {folder} is named like an image ({', '.join(sorted(SUFFIXES))})")
    if out.suffix == ".parquet":
        _import_pyarrow()
    partial = out.with_name(out.name + ".partial")
    done = _rows_of(partial, model)
    scored = Scored(images=len(paths), earlier=len(done))
    left = [path for path in paths if str(path.relative_to(folder)) not in done]
    with partial.open("a", newline="") as file, _progress() as progress:
        rows = csv.DictWriter(file, _columns(model))
        if not file.tell():
            rows.writeheader()
        task = progress.add_task("images", total=len(paths), completed=len(done))
        for batch in _batches(left):
            contents = [content for content in batch.values() if isinstance(content, bytes)]
            predictions = iter(model.classify(contents) if contents else ())
            for path, content in batch.items():
                prediction = next(predictions) if isinstance(content, bytes) else {"detail": str(content)}
                name = str(path.relative_to(folder))
                rows.writerow(_row(name, prediction, model))
                if "label" not in prediction:
                    scored.failed.append((name, prediction["detail"]))
            file.flush()
            progress.advance(task, len(batch))
    _finish(partial, out, model)
    return scored


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)


def _batches(paths: Sequence[Path]) -> Iterator[dict[Path, bytes | OSError]]:
    """Read files, so many at a time as are classified at once; why one cannot be read stands in its place."""
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


def _columns(model: Model) -> list[str]:
    fixed = ["path", "model", "version", "label", "confidence", "familiarity", "familiar", "error"]
    return [*fixed, *(f"probability of {name}" for name in model.class_names)]


def _row(name: str, prediction: dict[str, Any], model: Model) -> dict[str, Any]:
    row = {"path": name, "model": model.name, "version": model.version, "error": prediction.get("detail", "")}
    for column in ("label", "confidence", "familiarity", "familiar"):
        row[column] = prediction.get(column)
    for class_name, probability in prediction.get("probabilities", {}).items():
        row[f"probability of {class_name}"] = probability
    return row


def _rows_of(partial: Path, model: Model) -> set[str]:
    """Return the paths that an interrupted run has written, and cut off a row that it has not finished."""
    if not partial.exists():
        return set()
    content = partial.read_bytes()
    partial.write_bytes(content[: content.rfind(b"\n") + 1])
    with partial.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:  # its head may be another model's
        partial.unlink()
    made_by = {(row["model"], row["version"]) for row in rows}
    if made_by - {(model.name, model.version)}:
        ((name, version), *_) = made_by
        raise ScoringError(f"{partial} is of {name} {version}, not of {model.name} {model.version}; remove it")
    return {row["path"] for row in rows}


def _finish(partial: Path, out: Path, model: Model) -> None:
    if out.suffix == ".csv":
        partial.replace(out)
        return
    pyarrow, read_csv, write_table = _import_pyarrow()
    numbers = dict.fromkeys(
        ["confidence", "familiarity", *(f"probability of {name}" for name in model.class_names)], pyarrow.float64()
    )
    texts = dict.fromkeys(["path", "model", "version", "label", "error"], pyarrow.string())
    types = {**numbers, **texts, "familiar": pyarrow.bool_()}
    write_table(read_csv(partial, types), out)
    partial.unlink()


def _import_pyarrow() -> Any:  # noqa: ANN401  # it is untyped
    """Return the module, and functions that read a CSV and write a Parquet file.

    Raises:
        ScoringError: it is not installed.
    """
    try:
        import pyarrow  # noqa: PLC0415  # an extra
        from pyarrow import csv as arrow_csv  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise ScoringError("Parquet needs the extra `parquet` (uv run --extra parquet ...); or name a .csv") from error

    def read(path: Path, types: dict[str, Any]) -> Any:  # noqa: ANN401
        options = arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False)
        return arrow_csv.read_csv(path, convert_options=options)

    return pyarrow, read, parquet.write_table
