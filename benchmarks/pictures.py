"""Accuracy on images in other framings, and separation of unrelated images.

uv run --group train python -m benchmarks.pictures                      # mnist and cifar10, some minutes
uv run --group train python -m benchmarks.pictures --out docs           # also writes pictures.md and .png
uv run --group train python -m benchmarks.pictures --recorded --out docs    # from the model cards

The first table has the accuracy of each graph of the newest version on test images in other framings. The second table
has the AUROC of familiarity between test images and unrelated images; the minimums are for the mean and the lowest of
all kinds but trivial ones. Both tables have the share of familiar images, the first also the share of images that are
familiar and wrong. A kind of pictures with a control, the same pictures without what makes them hard, reaches its
minimum if enough pictures are right or unfamiliar. Pictures are prepared as in the service
(training/evaluation/robustness/).
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.contract import MODEL_FILE, newest_version
from training.evaluation.robustness.framed_images import make_examples
from training.evaluation.robustness.framing import NATIVE
from training.evaluation.robustness.measurement import (
    ROBUSTNESS_FILE,
    KindMeasurement,
    Robustness,
    measure_robustness,
    read_robustness,
)
from training.evaluation.robustness.surroundings import CONTROL
from training.provenance import MODELS_DIR, REPOSITORY
from training.recipes.zoo import ZOO
from training.reporting.plots import draw_examples

MODELS = "mnist", "cifar10"
MIN_ACCURACY: Mapping[str, float] = {  # kind -> 0..1; negative: allowed change from the NATIVE accuracy
    "page: dark ink, uneven tinted paper, JPEG": 0.97,
    "white on black, 50 to 2000 px": 0.99,
    "black on white, 50 to 2000 px": 0.99,
    "enlarged 4 to 20 times": -0.01,
    "enlarged, JPEG": -0.01,
    "in a wide picture": -0.01,
    "in a tall picture": -0.01,
    "between black or white bars": -0.01,
}
SEPARATED: Mapping[str, Sequence[str]] = {  # model -> kinds of unrelated images whose mean and lowest AUROC count
    "mnist": ("letters", "symbols", "scribbles", "shapes", "two digits", "noise", "photographs"),
    "cifar10": ("letters", "shapes", "textures", "blurred noise", "noise", "digits"),
}
MEAN, LOWEST = "mean of all kinds but trivial ones", "the least separated of them"
MIN_AUROC: Mapping[str, Mapping[str, float]] = {  # model -> row -> 0..1
    "mnist": {MEAN: 0.975, LOWEST: 0.93},
    "cifar10": {MEAN: 0.94, LOWEST: 0.92},
}
SHARE_OF_CONTROL = 0.9  # of a control's accuracy: the minimum of right or unfamiliar pictures of its kind
SHEET_KINDS = (  # parts of titles
    *("page:", "coloured", "squared", "shadow", "box", "corner", "white frame", "plot", "on a desk"),
    *("window with a white", "holes", "thumb", "strip", "enlarged, JPEG", "wide picture", "bars"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Measurements of a model's graphs on one kind of pictures, with their minimums."""

    model: str
    measurements: Sequence[KindMeasurement]  # one per graph
    minimums: Sequence[float | None]  # one per graph, 0..1; None: no target
    has_control: bool = False  # the minimum is a share of another row's accuracy

    @property
    def values(self) -> list[float | None]:
        """Return the values to compare with the minimums: accuracy or AUROC."""
        return [measured.accuracy if measured.auroc is None else measured.auroc for measured in self.measurements]

    @property
    def is_met(self) -> bool:
        """Tell whether every graph reaches its minimum, if any.

        An unfamiliar picture of a kind with a control counts as right.
        """
        values = self.values
        if self.has_control:
            errors = [measured.familiar_errors for measured in self.measurements]
            values = [None if share is None else 1.0 - share for share in errors]
        pairs = zip(values, self.minimums, strict=True)
        return all(minimum is None or (value is not None and value >= minimum) for value, minimum in pairs)

    def render(self) -> str:
        """Return a row of a Markdown table."""
        has_target = self.minimums[0] is not None
        target = " / ".join(dict.fromkeys(f"{minimum:.1%}" for minimum in self.minimums)) if has_target else ""
        met = ("met" if self.is_met else "MISSED") if has_target else ""
        shares = [*self.values, *(measured.familiar_share for measured in self.measurements)]
        if self.measurements[0].auroc is None:
            shares += [measured.familiar_errors for measured in self.measurements]
        cells = " | ".join("" if share is None else f"{share:.1%}" for share in shares)
        first = self.measurements[0]
        return f"| {self.model} | {first.kind} | {first.num_images} | {cells} | {target} | {met} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables; return 1 if a measurement misses its target."""
    options, met = make_parser().parse_args(arguments), True
    lines: list[str] = []

    def show(*rows: str) -> None:
        print("\n".join(rows), flush=True)
        lines.extend(rows)

    found: list[Row] = []
    for name in options.models:
        if options.recorded:
            robustness = read_robustness(newest(name))
            assert robustness, f"{newest(name)} has no {ROBUSTNESS_FILE}; run python -m training card {name}"
        else:
            robustness = measure(name, options.data_dir, options.count)
        found += make_rows(name, robustness)
    for metric, rows in (
        ("accuracy", [row for row in found if row.measurements[0].auroc is None]),
        ("AUROC", [row for row in found if row.measurements[0].auroc is not None]),
    ):
        show(*render_header(metric), *(row.render() for row in rows), "")
        met = met and all(row.is_met for row in rows)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "pictures.md").write_text("\n".join(lines))
        draw_sheet(options.out / "pictures.png", options.data_dir)
    return 0 if met else 1


def render_header(metric: str) -> tuple[str, str]:
    """Return the two header lines of a table."""
    names = ["model", "pictures", "n"]
    columns = [metric, "familiar", *(["familiar and wrong"] if metric == "accuracy" else [])]
    names += [f"{column}, {graph}" for column in columns for graph in ("float32", "int8")]
    names += ["minimum", "result"]
    return f"| {' | '.join(names)} |", "|---" * len(names) + "|"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pictures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--data-dir", type=Path, default=REPOSITORY / "data", help="folder of the data sets (default data/)")
    add("--count", type=int, help="pictures per row (default: the smaller of 1000 and a tenth of the test images)")
    add("--recorded", action="store_true", help="use the measurements stored with the newest versions")
    add("--out", type=Path, help="folder for the tables and a sheet of examples")
    return parser


def measure(name: str, data_dir: Path, count: int | None) -> Robustness:
    """Measure the newest version of a model on pictures of every kind, ``count`` of each."""
    return measure_robustness(newest(name), ZOO[name], ZOO[name].load(data_dir).test, data_dir, count=count)


def make_rows(name: str, robustness: Robustness) -> Iterator[Row]:
    """Yield a row per kind of pictures, with its minimums."""
    kinds = robustness.kinds()
    by_kind = {measurements[0].kind: measurements for measurements in kinds}
    for kind, measurements in by_kind.items():
        has_control = kind + CONTROL in by_kind
        least = minimums(name, kind, by_kind)
        yield Row(model=name, measurements=measurements, minimums=least, has_control=has_control)
    for measurements in combine([by_kind[kind] for kind in SEPARATED[name]]):
        yield Row(model=name, measurements=measurements, minimums=minimums(name, measurements[0].kind, by_kind))


def combine(kinds: Sequence[Sequence[KindMeasurement]]) -> Iterator[list[KindMeasurement]]:
    """Yield the mean over kinds of unrelated images, and the kind with the lowest AUROC, per graph.

    Each kind has the same number of pictures, so the AUROC of all is the mean of the AUROCs.
    """
    graphs = list(zip(*kinds, strict=True))
    yield [
        KindMeasurement(
            kind=MEAN,
            num_images=sum(measured.num_images for measured in rows),
            familiar_share=statistics.mean(measured.familiar_share for measured in rows),
            auroc=statistics.mean(_auroc(measured) for measured in rows),
        )
        for rows in graphs
    ]
    yield [replace(min(rows, key=_auroc), kind=LOWEST) for rows in graphs]


def _auroc(measured: KindMeasurement) -> float:
    assert measured.auroc is not None
    return measured.auroc


def minimums(model: str, kind: str, by_kind: Mapping[str, Sequence[KindMeasurement]]) -> list[float | None]:
    """Return each graph's minimum on a kind; ``by_kind``: the measurements of all kinds, one per graph."""
    if (control := by_kind.get(kind + CONTROL)) is not None:
        return [SHARE_OF_CONTROL * accuracy for accuracy in _accuracies(control)]
    if kind in MIN_ACCURACY:
        minimum = MIN_ACCURACY[kind]
        return [minimum + accuracy if minimum < 0 else minimum for accuracy in _accuracies(by_kind[NATIVE])]
    return [MIN_AUROC[model].get(kind)] * len(by_kind[NATIVE])


def _accuracies(measurements: Sequence[KindMeasurement]) -> Iterator[float]:
    for measured in measurements:
        assert measured.accuracy is not None
        yield measured.accuracy


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
        shown += list(make_examples(newest(model.name) / MODEL_FILE, model.preparation, test, model.class_names))
    draw_examples(path, [example for example in shown if any(word in example.title for word in SHEET_KINDS)])


if __name__ == "__main__":
    sys.exit(main())
