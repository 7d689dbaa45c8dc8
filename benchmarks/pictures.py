"""What becomes of pictures unlike the test images: framed as people send them, or of other things.

uv run --group train python -m benchmarks.pictures                      # a table for mnist and cifar10, some minutes
uv run --group train python -m benchmarks.pictures --out docs           # also pictures.md and pictures.png there

The first table has the share that the newest version reads of test images framed in each way, the second the area under
the ROC curve by which familiarity tells pictures of other things from the test images, and the share of both that
passes for familiar; by each of its graphs, as the service prepares them (training/evaluation/robustness.py).
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.contract import MODEL_FILE, newest_version
from training.evaluation.framed import show_framed
from training.evaluation.framing import NATIVE
from training.evaluation.robustness import KindMeasurement, measure_robustness
from training.provenance import MODELS_DIR, REPOSITORY
from training.recipes.zoo import ZOO
from training.reporting.plots import draw_examples

MODELS = "mnist", "cifar10"
LEAST_READ: Mapping[str, float] = {  # share of pictures; below nothing, what may be lost against the test split's own
    "page: dark ink, uneven tinted paper, JPEG": 0.97,
    "white on black, 50 to 2000 px": 0.99,
    "black on white, 50 to 2000 px": 0.99,
    "enlarged 4 to 20 times": -0.01,
    "enlarged, JPEG": -0.01,
    "in a wide picture": -0.01,
    "in a tall picture": -0.01,
    "between black or white bars": -0.01,
}
LEAST_AUROC: Mapping[str, Mapping[str, float]] = {  # by model and kind
    "mnist": dict.fromkeys(("letters", "symbols", "scribbles", "two digits", "noise", "photographs"), 0.97),
    "cifar10": dict.fromkeys(("textures", "noise", "digits"), 0.92),
}
TOGETHER = "those with a target, together"
SHOWN = "page", "shadow", "squared", "box", "coloured", "wide", "bars", "enlarged, JPEG"  # what the sheet has


@dataclass(frozen=True, kw_only=True)
class Row:
    """How the graphs of a model answer one kind of pictures, and what they should reach."""

    model: str
    answers: Sequence[KindMeasurement]  # of each graph
    least: Sequence[float | None]  # that each should reach, 0..1; None: nothing is asked

    @property
    def figures(self) -> list[float | None]:
        """Return what is held to the target: what is read of test images, the AUROC of other things."""
        return [answered.read if answered.auroc is None else answered.auroc for answered in self.answers]

    @property
    def is_met(self) -> bool:
        """Tell whether the target, if there is one, is reached by every graph."""
        figures = zip(self.figures, self.least, strict=True)
        return all(least is None or (figure is not None and figure >= least) for figure, least in figures)

    def render(self) -> str:
        """Return it as a row of a Markdown table."""
        goal = "" if self.least[0] is None else " / ".join(dict.fromkeys(f"{least:.1%}" for least in self.least))
        met = "" if self.least[0] is None else "met" if self.is_met else "MISSED"
        shares = [*self.figures, *(answered.familiar for answered in self.answers)]
        figures = " | ".join("" if share is None else f"{share:.1%}" for share in shares)
        kind = self.answers[0]
        return f"| {self.model} | {kind.pictures} | {kind.count} | {figures} | {goal} | {met} |"


def main() -> int:
    """Print both tables; return 1 if a figure misses its target."""
    options, lines, met = parse_arguments(), [], True

    def show(*rows: str) -> None:
        print("\n".join(rows), flush=True)
        lines.extend(rows)

    found = [row for name in options.models for row in measure_rows(name, options.data_dir, options.count)]
    for figure, rows in (
        ("read", [row for row in found if row.answers[0].auroc is None]),
        ("AUROC", [row for row in found if row.answers[0].auroc is not None]),
    ):
        show(*heads(figure), *(row.render() for row in rows), "")
        met = met and all(row.is_met for row in rows)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "pictures.md").write_text("\n".join(lines))
        draw_sheet(options.out / "pictures.png", options.data_dir)
    return 0 if met else 1


def heads(figure: str) -> tuple[str, str]:
    """Return the two lines that a table begins with."""
    names = ["model", "pictures", "n"]
    names += [f"{name}, {graph}" for name in (figure, "familiar") for graph in ("float32", "int8")]
    names += ["at least", ""]
    return f"| {' | '.join(names)} |", "|---" * len(names) + "|"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pictures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--data-dir", type=Path, default=REPOSITORY / "data", help="of the data sets (default data/)")
    add("--count", type=int, help="of pictures a row (default 1000, or a tenth of the test images)")
    add("--out", type=Path, help="a folder for the tables and a sheet of examples")
    return parser.parse_args()


def measure_rows(name: str, data_dir: Path, count: int | None) -> Iterator[Row]:
    """Ask the newest version of a model about pictures of every kind.

    Args:
        name: of the model.
        data_dir: of the data sets.
        count: of pictures of each kind.
    """
    test = ZOO[name].load(data_dir).test
    kinds = measure_robustness(newest(name), ZOO[name], test, data_dir, count=count).kinds()
    native = next(answers for answers in kinds if answers[0].pictures == NATIVE)
    for answers in kinds:
        yield Row(model=name, answers=answers, least=least_of(name, answers[0].pictures, native))
    aimed_at = [answers for answers in kinds if answers[0].pictures in LEAST_AUROC[name]]
    yield Row(model=name, answers=together(aimed_at), least=[max(LEAST_AUROC[name].values())] * len(native))


def together(kinds: Sequence[Sequence[KindMeasurement]]) -> list[KindMeasurement]:
    """Return how each graph answers several kinds of other things at once.

    There are as many pictures of each, so that the area under their common curve is the mean of the areas.
    """
    return [
        KindMeasurement(
            pictures=TOGETHER,
            count=sum(answered.count for answered in rows),
            familiar=statistics.mean(answered.familiar for answered in rows),
            auroc=statistics.mean(answered.auroc for answered in rows if answered.auroc is not None),
        )
        for rows in zip(*kinds, strict=True)
    ]


def least_of(model: str, pictures: str, native: Sequence[KindMeasurement]) -> list[float | None]:
    """Return what each graph should reach on pictures of a kind, given how it answers test images as they are."""
    if pictures in LEAST_READ:
        least = LEAST_READ[pictures]
        return [answered.read + least if least < 0 and answered.read is not None else least for answered in native]
    return [LEAST_AUROC[model].get(pictures)] * len(native)


def newest(name: str) -> Path:
    """Return the folder of a model's newest version."""
    version = newest_version(MODELS_DIR / name)
    assert version
    return version


def draw_sheet(path: Path, data_dir: Path) -> None:
    """Draw some pictures, below them the pixels that the model saw, and its answer."""
    shown = []
    for model in (ZOO[name] for name in MODELS):
        test = model.load(data_dir).test
        shown += list(show_framed(newest(model.name) / MODEL_FILE, model.preparation, test, model.class_names))
    draw_examples(path, [example for example in shown if any(word in example.title for word in SHOWN)])


if __name__ == "__main__":
    sys.exit(main())
