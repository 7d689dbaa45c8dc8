"""The state of a run after each epoch, kept so that it can go on after an interruption."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.errors import TrainingError


class CheckpointError(TrainingError):
    """There is nothing to resume, it belongs to another run, or it cannot be written."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What the next epoch needs. No generator: every epoch is seeded anew (see training/fitting/loop.py)."""

    run: dict[str, Any]  # what must be the same when the run goes on: model, recipe, seed, data
    network: dict[str, Any]
    optimizer: dict[str, Any]
    average: dict[str, Any]  # that Lookahead keeps; empty without
    selector: dict[str, Any]  # of images; empty where all are trained on
    best: dict[str, Any]  # the network of the best epoch so far
    history: list[dict[str, Any]]  # an Epoch each
    seconds: float  # trained so far


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file in one step: whoever is interrupted has the old one or the new one, and nothing else.

    Raises:
        CheckpointError: it cannot be written.
    """
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter, for a full disk too
        cause = " ".join(str(error).split())
        raise CheckpointError(f"cannot write {path}: {cause}; make room, or name another --checkpoint-dir") from error
    finally:
        with suppress(OSError):  # it has become the checkpoint
            partial.unlink()


def load_checkpoint(path: Path, *, run: dict[str, Any], device: torch.device) -> Checkpoint:
    """Read the state of ``run``.

    Raises:
        CheckpointError: there is none, it is not readable, or it is another run's.
    """
    if not path.is_file():
        raise CheckpointError(f"nothing to resume: no {path}; leave out --resume to begin the run")
    try:
        checkpoint = Checkpoint(**torch.load(path, map_location=device, weights_only=True))
    except Exception as error:  # torch.load has no base class for a file it cannot read
        raise CheckpointError(f"cannot read {path}: {error}; leave out --resume to begin anew") from error
    for name, value in run.items():
        if checkpoint.run.get(name) != value:
            raise CheckpointError(
                f"{path} is of another run: its {name} is {checkpoint.run.get(name)}, this run's is {value}; "
                "leave out --resume to begin anew"
            )
    return checkpoint


@contextmanager
def own_checkpoint(path: Path, *, resume: bool) -> Iterator[None]:
    """On KeyboardInterrupt delete the checkpoint if this run began it; what an earlier run left there stays."""
    found = _identify(path)
    try:
        yield
    except KeyboardInterrupt:
        if not resume and _identify(path) != found:
            path.unlink(missing_ok=True)
        raise


def describe_run(**settings: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever identifies a run
    """Return settings as plain types that a checkpoint can hold."""
    return {
        name: asdict(value) if hasattr(value, "__dataclass_fields__") else value for name, value in settings.items()
    }


def _identify(path: Path) -> tuple[int, int] | None:
    """Tell one file at a path from its successor, without a moment at which an interruption would mislead."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns
