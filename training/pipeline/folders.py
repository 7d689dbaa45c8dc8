"""Output folders: checked before a run, removed if it fails and they are empty."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from training.errors import TrainingError


class FolderError(TrainingError):
    """A folder cannot be created or written to."""


@contextmanager
def writable_folder(folder: Path, *, option: str) -> Iterator[None]:
    """Create a folder; on an exception, remove created folders that are empty.

    Args:
        folder: may exist.
        option: the command-line option that sets this folder, for the error message.

    Raises:
        FolderError: the folder cannot be created or written to.
    """
    created: list[Path] = []
    try:
        try:
            created = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise FolderError(
                f"cannot write to {folder}: {error.strerror}; choose a writable folder with {option}"
            ) from error
        yield
    except BaseException:
        for path in created:  # deepest first
            with suppress(OSError):  # never created, or not empty
                path.rmdir()
        raise
