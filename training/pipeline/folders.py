"""The folders a run writes to: made and tried before it begins, gone again where it leaves nothing in them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from training.errors import TrainingError


class FolderError(TrainingError):
    """A folder cannot be made, or cannot be written to."""


@contextmanager
def writable_folder(folder: Path, *, option: str) -> Iterator[None]:
    """Make a folder; if anything goes wrong while it is in use, remove what was made and is empty.

    Args:
        folder: may exist.
        option: of the command line, which names another folder.

    Raises:
        FolderError: nothing can be written there.
    """
    made: list[Path] = []
    try:
        try:
            made = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise FolderError(
                f"cannot write to the folder {folder}: {error.strerror}; name one that can be written to with {option}"
            ) from error
        yield
    except BaseException:
        for path in made:  # the deepest first
            with suppress(OSError):  # it was never made, or someone keeps something there
                path.rmdir()
        raise
