"""Checkpoints: the state of a run after each epoch, to resume it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.errors import TrainingError


class CheckpointError(TrainingError):
    """The checkpoint is missing, unreadable, not writable, or of another run."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """State of a run between two epochs.

    It has no random generator, as each epoch sets its own seed (training/fitting/loop.py).
    """

    run: dict[str, Any]  # model, recipe, seed and data, which must be equal on resume
    network: dict[str, Any]
    optimizer: dict[str, Any]
    average: dict[str, Any]  # of Lookahead; empty without it
    selector: dict[str, Any]  # of hard examples; empty without it
    best: dict[str, Any]  # weights of the best epoch so far
    history: list[dict[str, Any]]  # one Epoch each
    seconds: float  # training time so far


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file atomically; an interruption leaves the old or the new one.

    Raises:
        CheckpointError: the file cannot be written.
    """
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError if the disk is full
        cause = " ".join(str(error).split())
        raise CheckpointError(f"cannot write {path}: {cause}; free disk space or set --checkpoint-dir") from error
    finally:
        with suppress(OSError):  # fails after the rename
            partial.unlink()


def load_checkpoint(path: Path, *, run: dict[str, Any], device: torch.device) -> Checkpoint:
    """Load the state of ``run``.

    Raises:
        CheckpointError: the file is missing, unreadable, or of another run.
    """
    if not path.is_file():
        raise CheckpointError(f"nothing to resume: {path} does not exist; omit --resume to start a run")
    try:
        checkpoint = Checkpoint(**torch.load(path, map_location=device, weights_only=True))
    except Exception as error:  # torch.load's exceptions share no other base class
        cause = " ".join(str(error).split())
        raise CheckpointError(f"cannot read {path}: {cause}; omit --resume to start over") from error
    for name, value in run.items():
        if checkpoint.run.get(name) != value:
            raise CheckpointError(
                f"{path} belongs to another run: its {name} is {checkpoint.run.get(name)}, this run's is {value}; "
                "omit --resume to start over"
            )
    return checkpoint


@contextmanager
def discard_checkpoint_on_interrupt(path: Path, *, resume: bool) -> Iterator[None]:
    """Delete the checkpoint on KeyboardInterrupt if this run created it."""
    found = _identify(path)
    try:
        yield
    except KeyboardInterrupt:
        if not resume and _identify(path) != found:
            path.unlink(missing_ok=True)
        raise


def describe_run(**settings: Any) -> dict[str, Any]:  # noqa: ANN401  # any setting that identifies a run
    """Convert settings to plain types for a checkpoint."""
    return {
        name: asdict(value) if hasattr(value, "__dataclass_fields__") else value for name, value in settings.items()
    }


def _identify(path: Path) -> tuple[int, int] | None:
    """Return inode and time of change, which differ after a file is replaced."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns
