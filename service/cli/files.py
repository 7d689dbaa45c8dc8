"""Batch classification of image files."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from service.cli.prediction_table import ModelIdentity

STDIN = Path("-")  # read as the image on standard input
BATCH_SIZE, BATCH_BYTES = 64, 16 * 1024 * 1024  # limits of a batch in files and bytes

PredictionRow = dict[str, Any]  # or a problem


class Model(ModelIdentity, Protocol):
    """A local or remote model that classifies encoded images."""

    def classify(self, contents: Sequence[bytes]) -> list[PredictionRow]:
        """Return a prediction or a problem for each encoded image."""

    def close(self) -> None:
        """Release threads or connections."""


def parse_path(text: str) -> Path:
    """Return the path of a file, or STDIN for ``-``; ``./-`` is a file."""
    return STDIN if text == "-" else Path(text)


def classify_files(
    paths: Sequence[Path], model: Model, *, batch_size: int = BATCH_SIZE
) -> Iterator[dict[Path, PredictionRow]]:
    """Classify files in batches of at most ``batch_size`` files.

    A file that cannot be read yields its error as the detail.
    """
    for batch in _batches(paths, batch_size):
        contents = [content for content in batch.values() if isinstance(content, bytes)]
        predictions = iter(model.classify(contents) if contents else ())
        yield {
            path: next(predictions) if isinstance(content, bytes) else {"detail": _describe(content)}
            for path, content in batch.items()
        }


def _batches(paths: Sequence[Path], batch_size: int) -> Iterator[dict[Path, bytes | OSError]]:
    """Read files in groups of at most ``batch_size`` files and BATCH_BYTES bytes."""
    batch: dict[Path, bytes | OSError] = {}
    size = 0
    for path in dict.fromkeys(paths):
        content = _read(path)
        length = len(content) if isinstance(content, bytes) else 0
        if batch and (len(batch) == batch_size or size + length > BATCH_BYTES):
            yield batch
            batch, size = {}, 0
        batch[path] = content
        size += length
    if batch:
        yield batch


def _read(path: Path) -> bytes | OSError:
    try:
        if path is not STDIN:
            return path.read_bytes()
        if sys.stdin is None:
            raise OSError("standard input is closed")
        return sys.stdin.buffer.read()
    except OSError as error:
        return error


def _describe(error: OSError) -> str:
    if isinstance(error, IsADirectoryError):
        return "expected an image file, got a folder; classify folders with `score`"
    return error.strerror or str(error)
