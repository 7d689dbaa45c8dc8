"""What becomes of pictures as people send them: decoded, prepared and classified, a row for each way to frame them.

uv run --group train python -m benchmarks.pictures                      # a table for mnist and cifar10, some minutes
uv run --group train python -m benchmarks.pictures --out docs           # also pictures.md and pictures.png there

The frames are drawn around images of the test split, each row from a seed of its own (training/framing.py). A second
table has the area under the ROC curve by which familiarity tells pictures of other things from the test images, and the
share of both that passes for familiar.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.unfamiliar import HEAD, measure_unfamiliar
from models.layout import MODEL_FILE, newest_version
from models.preparation import preparer
from service.decoding import open_image, read_picture
from training.export import predict_onnx
from training.figures import draw_examples
from training.framing import Framings
from training.provenance import MODELS_DIR, REPOSITORY
from training.robustness import FRAMINGS, choose, frame, show_framings
from training.zoo import ZOO

MAX_PIXELS = 50_000_000
MODELS = "mnist", "cifar10"
TARGETS: Mapping[
    str, float
] = {  # to be read at least; below nothing, what may be lost against the test images as they are
    "page: dark ink, uneven tinted paper, JPEG": 0.97,
    "white on black, 50 to 2000 px": 0.99,
    "black on white, 50 to 2000 px": 0.99,
    "enlarged 4 to 20 times": -0.01,
    "enlarged, JPEG": -0.01,
    "in a wide picture": -0.01,
    "in a tall picture": -0.01,
    "between black or white bars": -0.01,
}
SHOWN = "page", "shadow", "squared", "box", "coloured", "wide", "bars", "enlarged, JPEG"  # what the sheet has


@dataclass(frozen=True, kw_only=True)
class Row:
    """How many pictures framed in one way are read."""

    model: str
    title: str
    count: int
    accuracy: float  # 0..1
    target: float | None

    @property
    def is_met(self) -> bool:
        """Tell whether the target, if there is one, is reached."""
        return self.target is None or self.accuracy >= self.target

    def render(self) -> str:
        """Return it as a row of a Markdown table."""
        goal, met = ("", "") if self.target is None else (f"≥ {self.target:.1%}", "met" if self.is_met else "MISSED")
        return f"| {self.model} | {self.title} | {self.count} | {self.accuracy:.1%} | {goal} | {met} |"


def main() -> int:
    """Print the table; return 1 if a figure misses its target."""
    options, lines, met = parse_arguments(), [], True

    def show(*rows: str) -> None:
        print("\n".join(rows), flush=True)
        lines.extend(rows)

    tests = {name: ZOO[name].load(options.data_dir).test for name in options.models}
    show("| model | pictures | n | read | target | |", "|---|---|---|---|---|---|")
    for name, test in tests.items():
        for row in measure_rows(name, FRAMINGS[ZOO[name].preparation], *choose(test, options.count)):
            show(row.render())
            met = met and row.is_met
    show("", "Pictures of other things, told from the test images:", "", *HEAD)
    for name, test in tests.items():
        for kind in measure_unfamiliar(name, test, options.data_dir):
            show(kind.render())
            met = met and kind.is_met
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "pictures.md").write_text("\n".join(lines) + "\n")
        draw_sheet(options.out / "pictures.png", options.data_dir)
    return 0 if met else 1


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pictures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--data-dir", type=Path, default=REPOSITORY / "data", help="of the data sets (default data/)")
    add("--count", type=int, default=1000, help="of pictures a row (default 1000)")
    add("--out", type=Path, help="a folder for the table and a sheet of examples")
    return parser.parse_args()


def measure_rows(name: str, framings: Framings, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Iterator[Row]:
    """Classify every image in every frame.

    Args:
        name: of the model.
        framings: the first leaves them as they are.
        images: of the test split, (N, ...).
        labels: (N,).
    """
    native = None
    for title, framing in framings.items():
        right = classify(name, frame(framing, images, title)).argmax(axis=1) == labels
        accuracy = float(right.mean())
        native = accuracy if native is None else native
        target = TARGETS.get(title)
        least = native + target if target is not None and target < 0 else target
        yield Row(model=name, title=title, count=len(right), accuracy=accuracy, target=least)


def classify(name: str, files: Sequence[bytes]) -> NDArray[np.float32]:
    """Decode, prepare and classify files: probabilities (N, K)."""
    return predict_onnx(newest_file(name), np.stack([prepare(name, file) for file in files]))


def newest_file(name: str) -> Path:
    """Return the ONNX file of a model's newest version."""
    version = newest_version(MODELS_DIR / name)
    assert version
    return version / MODEL_FILE


def prepare(name: str, file: bytes) -> NDArray[np.uint8]:
    """Make a file the pixels that the model sees, as the service does."""
    shape, draft = ((28, 28), None) if ZOO[name].preparation == "digit" else ((32, 32, 3), (32, 32))
    picture = read_picture(open_image(file, max_pixels=MAX_PIXELS), draft=draft)
    return preparer(ZOO[name].preparation, shape)(picture)


def draw_sheet(path: Path, data_dir: Path) -> None:
    """Draw some pictures, below them the pixels that the model saw, and its answer."""
    shown = []
    for model in (ZOO[name] for name in MODELS):
        graph, test = newest_file(model.name), model.load(data_dir).test
        shown += list(show_framings(graph, model.preparation, test, model.class_names))
    draw_examples(path, [example for example in shown if any(word in example.title for word in SHOWN)])


if __name__ == "__main__":
    sys.exit(main())
