"""CSV or Parquet table of predictions, with resumption of interrupted runs."""

import csv
import importlib.util
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from service.cli.file_lock import lock_file

CHUNK = 10_000  # rows in memory while a table is written
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # beginnings of formulas in Excel and others
FIELDS = ("label", "confidence", "familiarity", "familiar")

Row = dict[str, Any]


class ScoringError(RuntimeError):
    """The table cannot be started, resumed or written."""


class ModelIdentity(Protocol):
    """Name, version and classes of the model that makes the predictions."""

    @property
    def name(self) -> str:
        """Return the model's name."""

    @property
    def version(self) -> str:
        """Return the model's version."""

    @property
    def class_names(self) -> Sequence[str]:
        """Return the class names, by class_id."""


class PredictionTable:
    """Predictions of one model for the files of one folder, one row per file."""

    def __init__(self, out: Path, *, folder: Path, model: ModelIdentity) -> None:
        """Start the table, or resume from the rows of an interrupted run.

        Raises:
            ScoringError: ``out`` exists, has another suffix or cannot be written, the earlier rows belong to another
                folder or model, or another run is writing them.
        """
        if out.suffix not in WRITERS:
            raise ScoringError(f"{out}: expected a name that ends in {' or '.join(sorted(WRITERS))}")
        if out.exists():
            raise ScoringError(f"{out} already exists; choose another name or remove it")
        if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
            raise ScoringError(
                "Parquet needs the extra `parquet` (uv run --extra parquet ...); install it or choose a .csv file"
            )
        self.out, self._class_names = out, model.class_names
        self._partial = out.with_name(out.name + ".partial")
        self._header = {"folder": str(folder.resolve()), "model": model.name, "version": model.version}
        self._file = self._partial.open("a", encoding="ascii")
        try:
            lock_file(self._file)
            self.errors = self._read_earlier()
        except BlockingIOError as error:
            self._file.close()
            raise ScoringError(f"another run is writing {self._partial}; wait until it ends") from error
        except ScoringError:
            self._file.close()
            raise
        if not self._partial.stat().st_size:
            self._write(self._header)
            self._file.flush()

    def __enter__(self) -> "PredictionTable":
        """Return the table."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the partial file; its rows remain on disk."""
        self._file.close()

    def add(self, predictions: Mapping[str, Mapping[str, Any]]) -> None:
        """Append predictions or problems, by path, to the partial file."""
        for path, prediction in predictions.items():
            self.errors[path] = None if "label" in prediction else str(prediction["detail"])
            self._write({"path": path, **prediction})
        self._file.flush()

    def finish(self) -> None:
        """Write the table atomically and remove the partial file."""
        unfinished = self.out.with_name(self.out.name + ".unfinished")
        WRITERS[self.out.suffix](unfinished, self._rows(), self._class_names)
        unfinished.replace(self.out)
        self._file.close()  # Windows removes no open file
        self._partial.unlink()

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")  # ASCII, so that names that are not UTF-8 are preserved

    def _read_earlier(self) -> dict[str, str | None]:
        """Return the error or None of each path of an interrupted run.

        An incomplete last row is removed.
        """
        if not (content := self._partial.read_bytes()):
            return {}
        complete = content[: content.rfind(b"\n") + 1]
        try:
            header, *rows = [json.loads(line) for line in complete.splitlines()]
            source = " ".join(map(str, dict(header).values()))
        except (ValueError, TypeError) as error:
            raise ScoringError(f"{self._partial} is not a partial table of this program; remove it") from error
        if header != self._header:
            raise ScoringError(
                f"{self._partial} belongs to {source}, not to {' '.join(self._header.values())}; remove it"
            )
        if len(complete) < len(content):
            os.truncate(self._partial, len(complete))
        return {row["path"]: row.get("detail") for row in rows}

    def _rows(self) -> Iterator[Row]:
        """Yield the rows, with the columns in order."""
        with self._partial.open(encoding="ascii") as file:
            for line in itertools.islice(file, 1, None):
                saved = json.loads(line)
                path = saved["path"].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                row = {"path": path, "model": self._header["model"], "version": self._header["version"]}
                row |= {name: saved.get(name) for name in FIELDS} | {"error": saved.get("detail")}
                probabilities = saved.get("probabilities", {})
                yield row | {f"probability_{name}": probabilities.get(name) for name in self._class_names}


def _write_csv(path: Path, rows: Iterator[Row], class_names: Sequence[str]) -> None:
    """Write a table that spreadsheets open as it is: UTF-8 with a byte order mark, and no text is a formula."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(name for name, _ in _columns(class_names))
        writer.writerows([_quote_formula(value) for value in row.values()] for row in rows)


def _quote_formula(value: Any) -> Any:  # noqa: ANN401  # a cell
    """Return a text that a spreadsheet would run as a formula with an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write_parquet(path: Path, rows: Iterator[Row], class_names: Sequence[str]) -> None:
    import pyarrow as pa  # noqa: PLC0415  # an optional extra
    from pyarrow import parquet  # noqa: PLC0415

    types = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in _columns(class_names)])
    with parquet.ParquetWriter(path, schema) as writer:
        while chunk := list(itertools.islice(rows, CHUNK)):
            writer.write_table(pa.Table.from_pylist(chunk, schema))


def _columns(class_names: Sequence[str]) -> list[tuple[str, type]]:
    """Return the names and types of the columns."""
    texts, numbers = ("path", "model", "version", "label"), ("confidence", "familiarity")
    columns = [
        *((name, str) for name in texts),
        *((name, float) for name in numbers),
        ("familiar", bool),
        ("error", str),
    ]
    return [*columns, *((f"probability_{name}", float) for name in class_names)]


WRITERS: Mapping[str, Callable[[Path, Iterator[Row], Sequence[str]], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
