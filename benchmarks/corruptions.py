"""Error, calibration and familiarity on corrupted test images.

uv run --group train python -m benchmarks.corruptions                      # mnist and cifar10, some minutes
uv run --group train python -m benchmarks.corruptions --out docs           # also writes corruptions.md and .png
uv run --group train python -m benchmarks.corruptions --recorded --out docs    # from the model cards

The corruptions are those of CIFAR-10-C (Hendrycks and Dietterich 2019), in five severities, and of MNIST-C (Mu and
Gilmer 2019), in its one severity, made from 500 test images per severity, and Gaussian noise. Images are prepared as in
the service and classified by each graph of the newest version (training/evaluation/robustness/corrupted_images.py).
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from models.contract import newest_version
from training.evaluation.robustness.corrupted_images import CorruptionReport, measure_corruptions, read_corruptions
from training.provenance import MODELS_DIR, REPOSITORY
from training.recipes.zoo import ZOO
from training.reporting.plots import draw_corruptions
from training.reporting.robustness_tables import corruption_table

MODELS = "cifar10", "mnist"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table per model."""
    options = make_parser().parse_args(arguments)
    reports = dict(measure(options.models, options.data_dir, options.count, recorded=options.recorded))
    text = "\n\n".join(render(title, report) for title, report in reports.items())
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "corruptions.md").write_text(text + "\n")
        draw_corruptions(options.out / "corruptions.png", reports)
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.corruptions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--data-dir", type=Path, default=REPOSITORY / "data", help="folder of the data sets (default data/)")
    add("--count", type=int, help="images per severity (default: the smaller of 500 and a tenth of the test images)")
    add("--recorded", action="store_true", help="use the measurements stored with the newest versions")
    add("--out", type=Path, help="folder for the tables and a plot")
    return parser


def measure(
    names: Sequence[str], data_dir: Path, count: int | None, *, recorded: bool = False
) -> Iterator[tuple[str, CorruptionReport]]:
    """Measure the newest version of each model, or read what is stored; yield its name and version, and the report."""
    for name in names:
        version = newest_version(MODELS_DIR / name)
        assert version
        if recorded:
            report = read_corruptions(version)
        else:
            report = measure_corruptions(version, ZOO[name], ZOO[name].load(data_dir).test, count=count)
        assert report, f"{version} has no measurements; run python -m training card {name}"
        yield f"{name}, version {version.name}", report


def render(title: str, report: CorruptionReport) -> str:
    """Return the section of a model."""
    return f"## {title}\n\n{corruption_table(report)}"


if __name__ == "__main__":
    sys.exit(main())
