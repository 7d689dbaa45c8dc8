"""The ledger docs/runs.jsonl: one line per training run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from models.card import Metrics
from models.contract import newest_version
from training.errors import TrainingError
from training.recipes.recipe import recipe_from_settings


class LedgerError(TrainingError):
    """The ledger has an invalid line."""


class NotPublishedError(TrainingError):
    """No version is published, or the ledger has no run of it."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Settings and results of one training run."""

    model: str
    version: str  # published version; empty if the run was not published
    date: str  # ISO 8601, UTC
    recipe: str
    seed: int
    settings: Mapping[str, Any]  # the whole recipe
    test: Metrics  # of the ONNX file
    val: Metrics
    temperature: float
    epochs: int
    best_epoch: int
    minutes: float
    hardware: str
    git_commit: str
    requantized: str = ""  # commit of the code that quantized again; empty for a training run
    floor: float = 0.0
    stopped: bool = False  # interrupted by Ctrl-C before its last epoch
    ablation: str = ""  # name of the change to the recipe, a row of the card's table
    dataset: Mapping[str, str] = field(default_factory=dict)  # file name -> MD5
    timed_on: str = ""  # processor that ms_per_image was measured on
    int8: Metrics | None = None  # of the int8 file on the test split
    ms_per_image: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # precision -> batch size -> one core
    val_accuracies: Sequence[float] = ()  # of each epoch

    def minutes_to(self, accuracy: float) -> float | None:
        """Return the minutes until an epoch reached the validation accuracy, or None."""
        reached = [number for number, found in enumerate(self.val_accuracies, 1) if found >= accuracy]
        return self.minutes * reached[0] / self.epochs if reached else None

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Parse a line of the ledger."""
        fields = json.loads(line)
        for name in ("test", "val", "int8"):
            if fields.get(name):
                fields[name] = Metrics(**fields[name])
        return cls(**fields)

    def is_repeat_of(self, other: "Run") -> bool:
        """Tell whether the run is complete and differs only by seed and machine."""
        return not self.stopped and self.identity == other.identity

    @property
    def identity(self) -> tuple[object, ...]:
        """The key of comparable runs: model, recipe, ablation and data."""
        return identify(self.model, self.settings, ablation=self.ablation, dataset=self.dataset)


def identify(
    model: str, settings: Mapping[str, Any], *, ablation: str, dataset: Mapping[str, str]
) -> tuple[object, ...]:
    """Return the key that is equal for runs that differ only by seed and machine."""
    return model, recipe_from_settings(settings), ablation, dict(dataset)


def read_runs(ledger: Path) -> list[Run]:
    """Read every run, oldest first; an absent ledger has no runs.

    Raises:
        LedgerError: a line is invalid.
    """
    if not ledger.exists():
        return []
    try:
        return [Run.from_json(line) for line in ledger.read_text().splitlines()]
    except (ValueError, TypeError) as error:
        raise LedgerError(f"{ledger}: invalid line: {error}; restore the file from git") from error


def append_run(ledger: Path, run: Run) -> None:
    """Append a run as one line."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("a") as lines:
        lines.write(json.dumps(asdict(run)) + "\n")


def find_published(model: str, models_dir: Path, runs: Sequence[Run]) -> tuple[Path, Run]:
    """Return the folder of a model's newest version and the run that made it.

    Raises:
        NotPublishedError: no version is published, or no run made it.
    """
    folder = newest_version(models_dir / model)
    version = folder.name if folder else None
    run = next((run for run in reversed(runs) if (run.model, run.version) == (model, version)), None)
    if folder is None or run is None:
        raise NotPublishedError(f"no version in {models_dir / model} has a run in docs/runs.jsonl; run `retrain` first")
    return folder, run
