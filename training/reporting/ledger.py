"""The ledger docs/runs.jsonl: one line a training run, from which cards and tables say n and spread."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from models.card import Metrics
from training.errors import TrainingError
from training.recipes.recipe import read_recipe


class LedgerError(TrainingError):
    """The ledger is spoiled."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one training run did and gave."""

    model: str
    version: str  # that it was published as; empty if it was not
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
    requantized: str = ""  # commit of the code that made the int8 graph later; empty if training made it
    floor: float = 0.0
    stopped: bool = False  # by Ctrl-C, before its last epoch
    ablation: str = ""  # what was left out of the recipe or put in, for a row of the card's table
    dataset: Mapping[str, str] = field(default_factory=dict)  # file name -> MD5
    timed_on: str = ""  # the processor of ms_per_image
    int8: Metrics | None = None  # of the int8 file on the test split
    ms_per_image: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # precision -> batch size -> one core
    val_accuracies: Sequence[float] = ()  # of each epoch

    def minutes_to(self, accuracy: float) -> float | None:
        """Return after how many minutes an epoch first had this accuracy on validation, None where none had."""
        reached = [number for number, found in enumerate(self.val_accuracies, 1) if found >= accuracy]
        return self.minutes * reached[0] / self.epochs if reached else None

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read a line of the ledger."""
        fields = json.loads(line)
        for name in ("test", "val", "int8"):
            if fields.get(name):
                fields[name] = Metrics(**fields[name])
        return cls(**fields)

    def is_repeat_of(self, other: "Run") -> bool:
        """Tell whether only the seed and the machine differ, and the run came to its end."""
        return not self.stopped and self.identity == other.identity

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes runs comparable: model, recipe, ablation and data, but neither seed nor machine."""
        return identify(self.model, self.settings, ablation=self.ablation, dataset=self.dataset)


def identify(
    model: str, settings: Mapping[str, Any], *, ablation: str, dataset: Mapping[str, str]
) -> tuple[object, ...]:
    """Return what is equal for two runs that only seed and machine tell apart."""
    return model, read_recipe(settings), ablation, dict(dataset)


def read_runs(ledger: Path) -> list[Run]:
    """Read every run, oldest first; none where there is no ledger.

    Raises:
        LedgerError: a line is not readable.
    """
    if not ledger.exists():
        return []
    try:
        return [Run.from_json(line) for line in ledger.read_text().splitlines()]
    except (ValueError, TypeError) as error:
        raise LedgerError(f"{ledger} has a line that is no run: {error}; restore it from git") from error


def append_run(ledger: Path, run: Run) -> None:
    """Add one line."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("a") as lines:
        lines.write(json.dumps(asdict(run)) + "\n")
