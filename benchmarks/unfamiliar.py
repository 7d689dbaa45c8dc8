"""Whether a model knows what it does not know: its familiarity on the test images and on pictures of other things."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.layout import MODEL_FILE, newest_version
from training.data import Split
from training.familiarity import measure_familiarity
from training.outliers import outliers
from training.provenance import MODELS_DIR
from training.zoo import ZOO

HEAD = ["| model | pictures | n | AUROC | target | | familiar |", "|---|---|---|---|---|---|---|"]
TARGETS: Mapping[str, Mapping[str, float]] = {  # of AUROC, by model and kind
    "mnist": dict.fromkeys(("letters", "symbols", "scribbles", "two digits", "noise", "photographs"), 0.97),
    "cifar10": dict.fromkeys(("textures", "noise", "digits"), 0.92),
}


@dataclass(frozen=True, kw_only=True)
class UnfamiliarRow:
    """How one kind of pictures is told from the test images."""

    model: str
    kind: str
    count: int
    familiar: float  # share of them, 0..1
    auroc: float | None  # none of the test images themselves
    target: float | None

    @property
    def is_met(self) -> bool:
        """Tell whether the target, if there is one, is reached."""
        return self.target is None or self.auroc is None or self.auroc >= self.target

    def render(self) -> str:
        """Return it as a row of a Markdown table."""
        area = "" if self.auroc is None else f"{self.auroc:.1%}"
        goal, met = ("", "") if self.target is None else (f"≥ {self.target:.1%}", "met" if self.is_met else "MISSED")
        return f"| {self.model} | {self.kind} | {self.count} | {area} | {goal} | {met} | {self.familiar:.1%} |"


def measure_unfamiliar(name: str, test: Split, data_dir: Path) -> Iterator[UnfamiliarRow]:
    """Ask the newest version of a model about its test split and about each kind of outliers."""
    version = newest_version(MODELS_DIR / name)
    assert version
    kinds = outliers(ZOO[name], test, data_dir)
    for kind, found in measure_familiarity(version / MODEL_FILE, test, kinds).items():
        yield UnfamiliarRow(
            model=name,
            kind=kind,
            count=len(kinds.get(kind, test)),
            familiar=found["familiar"],
            auroc=found.get("auroc"),
            target=TARGETS.get(name, {}).get(kind),
        )
