"""A table of predictions: rows kept beside it as they come, so that another run can go on, then CSV or Parquet."""

import csv
import fcntl
import importlib.util
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

CHUNK = 10_000  # rows that are held in memory as a table is written
FIELDS = ("label", "confidence", "familiarity", "familiar")

Row = dict[str, Any]


class ScoringError(RuntimeError):
    """The table cannot be begun, gone on with, or written."""


class Made(Protocol):
    """Whose predictions they are."""

    @property
    def name(self) -> str:
        """Return the model's name."""

    @property
    def version(self) -> str:
        """Return its version."""

    @property
    def class_names(self) -> Sequence[str]:
        """Return its classes in order."""


class PredictionTable:
    """The rows of one model's predictions for the files of one folder."""

    def __init__(self, out: Path, *, folder: Path, model: Made) -> None:
        """Begin it, or go on with the rows that an interrupted run left.

        Raises:
            ScoringError: ``out`` exists, is of another kind or cannot be written, those rows are not of this folder
                and model, or another run is writing them.
        """
        if out.suffix not in WRITERS:
            raise ScoringError(f"{out}: expected a name that ends in {' or '.join(sorted(WRITERS))}")
        if out.exists():
            raise ScoringError(f"{out} is there already; name another file, or remove it")
        if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
            raise ScoringError("Parquet needs the extra `parquet` (uv run --extra parquet ...); or name a .csv")
        self.out, self._class_names = out, model.class_names
        self._partial = out.with_name(out.name + ".partial")
        self._head = {"folder": str(folder.resolve()), "model": model.name, "version": model.version}
        self._file = self._partial.open("a", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the file is closed
            self.errors = self._read_earlier()
        except BlockingIOError as error:
            self._file.close()
            raise ScoringError(f"another run is writing {self._partial}; wait for its end") from error
        except ScoringError:
            self._file.close()
            raise
        if not self._partial.stat().st_size:
            self._write(self._head)
            self._file.flush()

    def __enter__(self) -> "PredictionTable":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file; its rows stay."""
        self._file.close()

    def add(self, predictions: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep predictions, or the problems in their place, by path."""
        for path, prediction in predictions.items():
            self.errors[path] = None if "label" in prediction else str(prediction["detail"])
            self._write({"path": path, **prediction})
        self._file.flush()

    def finish(self) -> None:
        """Write the table, whole or not at all, and remove the rows beside it."""
        unfinished = self.out.with_name(self.out.name + ".unfinished")
        WRITERS[self.out.suffix](unfinished, self._rows(), self._class_names)
        unfinished.replace(self.out)
        self._partial.unlink()

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")  # ASCII: a name that is no UTF-8 stays what it is

    def _read_earlier(self) -> dict[str, str | None]:
        """Return what an interrupted run has written, by path: why it failed, or None; cut off an unfinished row."""
        if not (content := self._partial.read_bytes()):
            return {}
        whole = content[: content.rfind(b"\n") + 1]
        try:
            head, *rows = [json.loads(line) for line in whole.splitlines()]
            made_by = " ".join(map(str, dict(head).values()))
        except (ValueError, TypeError) as error:
            raise ScoringError(f"{self._partial} is not what an interrupted run leaves; remove it") from error
        if head != self._head:
            raise ScoringError(f"{self._partial} is of {made_by}, not of {' '.join(self._head.values())}; remove it")
        if len(whole) < len(content):
            os.truncate(self._partial, len(whole))
        return {row["path"]: row.get("detail") for row in rows}

    def _rows(self) -> Iterator[Row]:
        """Yield the table's rows, in the order of its columns."""
        with self._partial.open(encoding="ascii") as file:
            for line in itertools.islice(file, 1, None):
                kept = json.loads(line)
                path = kept["path"].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                row = {"path": path, "model": self._head["model"], "version": self._head["version"]}
                row |= {name: kept.get(name) for name in FIELDS} | {"error": kept.get("detail")}
                probabilities = kept.get("probabilities", {})
                yield row | {f"probability of {name}": probabilities.get(name) for name in self._class_names}


def _write_csv(path: Path, rows: Iterator[Row], class_names: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [name for name, _ in _columns(class_names)])
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: Iterator[Row], class_names: Sequence[str]) -> None:
    import pyarrow as pa  # noqa: PLC0415  # an extra
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
    return [*columns, *((f"probability of {name}", float) for name in class_names)]


WRITERS: Mapping[str, Callable[[Path, Iterator[Row], Sequence[str]], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
