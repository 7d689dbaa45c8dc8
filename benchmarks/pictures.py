"""Accuracy on images in other framings, and separation of unrelated images.

uv run --group train python -m benchmarks.pictures                      # mnist and cifar10, some minutes
uv run --group train python -m benchmarks.pictures --out docs           # also writes pictures.md and .png

The first table has the accuracy of each graph of the newest version on test images in other framings. The second has
the AUROC of familiarity between test images and unrelated images. Both have the share that counts as familiar. Pictures
are prepared as in the service (training/evaluation/robustness.py).
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
LEAST_READ: Mapping[str, float] = {  # minimum accuracy, 0..1; negative: allowed change from the NATIVE accuracy
    "page: dark ink, uneven tinted paper, JPEG": 0.97,
    "white on black, 50 to 2000 px": 0.99,
    "black on white, 50 to 2000 px": 0.99,
    "enlarged 4 to 20 times": -0.01,
    "enlarged, JPEG": -0.01,
    "in a wide picture": -0.01,
    "in a tall picture": -0.01,
    "between black or white bars": -0.01,
}
LEAST_AUROC: Mapping[str, Mapping[str, float]] = {  # model -> kind -> 0..1
    "mnist": dict.fromkeys(("letters", "symbols", "scribbles", "two digits", "noise", "photographs"), 0.97),
    "cifar10": dict.fromkeys(("textures", "noise", "digits"), 0.92),
}
TOGETHER = "those with a target, together"
SHOWN = (
    "page",
    "shadow",
    "squared",
    "box",
    "coloured",
    "wide",
    "bars",
    "enlarged, JPEG",
)  # parts of the titles on the sheet


@dataclass(frozen=True, kw_only=True)
class Row:
    """Measurements of a model's graphs on one kind of pictures, with their targets."""

    model: str
    answers: Sequence[KindMeasurement]  # one per graph
    least: Sequence[float | None]  # target per graph, 0..1; None: no target

    @property
    def figures(self) -> list[float | None]:
        """Return the values to compare with the targets: accuracy or AUROC."""
        return [measured.read if measured.auroc is None else measured.auroc for measured in self.answers]

    @property
    def is_met(self) -> bool:
        """Tell whether every graph meets its target, if any."""
        figures = zip(self.figures, self.least, strict=True)
        return all(least is None or (figure is not None and figure >= least) for figure, least in figures)

    def render(self) -> str:
        """Return a row of a Markdown table."""
        target = "" if self.least[0] is None else " / ".join(dict.fromkeys(f"{least:.1%}" for least in self.least))
        met = "" if self.least[0] is None else "met" if self.is_met else "MISSED"
        shares = [*self.figures, *(measured.familiar for measured in self.answers)]
        figures = " | ".join("" if share is None else f"{share:.1%}" for share in shares)
        kind = self.answers[0]
        return f"| {self.model} | {kind.pictures} | {kind.count} | {figures} | {target} | {met} |"


def main() -> int:
    """Print both tables; return 1 if a measurement misses its target."""
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
    """Return the two header lines of a table."""
    names = ["model", "pictures", "n"]
    names += [f"{name}, {graph}" for name in (figure, "familiar") for graph in ("float32", "int8")]
    names += ["at least", ""]
    return f"| {' | '.join(names)} |", "|---" * len(names) + "|"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pictures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--data-dir", type=Path, default=REPOSITORY / "data", help="folder of the data sets (default data/)")
    add("--count", type=int, help="pictures per row (default: the smaller of 1000 and a tenth of the test images)")
    add("--out", type=Path, help="folder for the tables and a sheet of examples")
    return parser.parse_args()


def measure_rows(name: str, data_dir: Path, count: int | None) -> Iterator[Row]:
    """Measure the newest version of a model on pictures of every kind.

    Args:
        name: of the model.
        data_dir: folder of the data sets.
        count: pictures per kind.
    """
    test = ZOO[name].load(data_dir).test
    kinds = measure_robustness(newest(name), ZOO[name], test, data_dir, count=count).kinds()
    native = next(answers for answers in kinds if answers[0].pictures == NATIVE)
    for answers in kinds:
        yield Row(model=name, answers=answers, least=least_of(name, answers[0].pictures, native))
    with_target = [answers for answers in kinds if answers[0].pictures in LEAST_AUROC[name]]
    yield Row(model=name, answers=together(with_target), least=[max(LEAST_AUROC[name].values())] * len(native))


def together(kinds: Sequence[Sequence[KindMeasurement]]) -> list[KindMeasurement]:
    """Combine the measurements of several kinds of unrelated images, per graph.

    Each kind has the same number of pictures, so the AUROC of all is the mean of the AUROCs.
    """
    return [
        KindMeasurement(
            pictures=TOGETHER,
            count=sum(measured.count for measured in rows),
            familiar=statistics.mean(measured.familiar for measured in rows),
            auroc=statistics.mean(measured.auroc for measured in rows if measured.auroc is not None),
        )
        for rows in zip(*kinds, strict=True)
    ]


def least_of(model: str, pictures: str, native: Sequence[KindMeasurement]) -> list[float | None]:
    """Return each graph's target on a kind; ``native``: on unchanged test images."""
    if pictures in LEAST_READ:
        least = LEAST_READ[pictures]
        return [measured.read + least if least < 0 and measured.read is not None else least for measured in native]
    return [LEAST_AUROC[model].get(pictures)] * len(native)


def newest(name: str) -> Path:
    """Return the folder of a model's newest version."""
    version = newest_version(MODELS_DIR / name)
    assert version
    return version


def draw_sheet(path: Path, data_dir: Path) -> None:
    """Draw examples: picture, pixels that the model received, and prediction."""
    shown = []
    for model in (ZOO[name] for name in MODELS):
        test = model.load(data_dir).test
        shown += list(show_framed(newest(model.name) / MODEL_FILE, model.preparation, test, model.class_names))
    draw_examples(path, [example for example in shown if any(word in example.title for word in SHOWN)])


if __name__ == "__main__":
    sys.exit(main())
