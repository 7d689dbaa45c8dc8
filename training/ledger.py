"""The ledger docs/runs.jsonl: one line a training run, from which cards and tables say n and spread."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from models.card import Metrics


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
    ablation: str = ""  # what was left out of the recipe or put in, for a row of the card's table
    int8: Metrics | None = None  # of the int8 file on the test split
    ms_per_image: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # precision -> batch size -> one core

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read a line of the ledger."""
        fields = json.loads(line)
        for name in ("test", "val", "int8"):
            if fields.get(name):
                fields[name] = Metrics(**fields[name])
        return cls(**fields)

    def is_of(self, model: str, settings: Mapping[str, Any], *, ablation: str = "") -> bool:
        """Tell whether only the seed and the machine may differ from another run's."""
        same = _plain(settings) == _plain(self.settings)
        return same and (model, ablation) == (self.model, self.ablation)


def read_runs(ledger: Path) -> list[Run]:
    """Read every run, oldest first; none where there is no ledger."""
    return [Run.from_json(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def append_run(ledger: Path, run: Run) -> None:
    """Add one line."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("a") as lines:
        lines.write(json.dumps(asdict(run)) + "\n")


def _plain(settings: Mapping[str, Any]) -> Any:  # noqa: ANN401  # JSON
    """Return what is read again once it was written: tuples are lists by then."""
    return json.loads(json.dumps(settings))
