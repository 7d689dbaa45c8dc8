"""What becomes of pictures as people send them: decoded, prepared and classified, a row for each way to frame them.

uv run --group train python -m benchmarks.pictures                      # a table for mnist and cifar10, some minutes
uv run --group train python -m benchmarks.pictures --out docs           # also pictures.md and pictures.png there

The frames are drawn around images of the test split, each row from a seed of its own (benchmarks/framings.py). A second
table has the area under the ROC curve by which familiarity tells pictures of other things from the test images, and the
share of both that passes for familiar.
"""

import argparse
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from benchmarks.framings import DIGITS, PHOTOS, Array, Framing, Framings
from benchmarks.unfamiliar import HEAD, measure_unfamiliar
from models.layout import MODEL_FILE, newest_version
from models.preparation import preparer
from service.decoding import open_image, read_picture
from training.provenance import MODELS_DIR, REPOSITORY
from training.zoo import ZOO

mpl.use("agg")
from matplotlib import pyplot as plt

MAX_PIXELS = 50_000_000
MODELS = {"mnist": DIGITS, "cifar10": PHOTOS}
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
        chosen = np.random.default_rng(0).permutation(len(test))[: options.count]
        for row in measure_rows(name, MODELS[name], test.images.numpy()[chosen], test.labels.numpy()[chosen]):
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


def measure_rows(name: str, framings: Framings, images: Array, labels: NDArray[np.int64]) -> Iterator[Row]:
    """Classify every image in every frame.

    Args:
        name: of the model.
        framings: the accuracy that each must reach; below nothing, what it may lose against the first.
        images: of the test split, (N, ...).
        labels: (N,).
    """
    native = None
    for title, (framing, target) in framings.items():
        right = classify(name, frame(framing, images, title)).argmax(axis=1) == labels
        accuracy = float(right.mean())
        native = accuracy if native is None else native
        least = native + target if target is not None and target < 0 else target
        yield Row(model=name, title=title, count=len(right), accuracy=accuracy, target=least)


def frame(framing: Framing, images: Array, title: str) -> list[bytes]:
    """Draw every image, each row from a seed of its own."""
    random = np.random.default_rng(zlib.crc32(title.encode()))
    return [framing(image, random) for image in images]


def classify(name: str, files: Sequence[bytes]) -> NDArray[np.float32]:
    """Decode, prepare and classify files: probabilities (N, K)."""
    return open_model(name).run(["probabilities"], {"images": np.stack([prepare(name, file) for file in files])})[0]


def open_model(name: str) -> ort.InferenceSession:
    """Open the newest version."""
    version = newest_version(MODELS_DIR / name)
    assert version
    return ort.InferenceSession(version / MODEL_FILE, providers=["CPUExecutionProvider"])


def prepare(name: str, file: bytes) -> Array:
    """Make a file the pixels that the model sees, as the service does."""
    shape, draft = ((28, 28), None) if ZOO[name].preparation == "digit" else ((32, 32, 3), (32, 32))
    picture = read_picture(open_image(file, max_pixels=MAX_PIXELS), draft=draft)
    return preparer(ZOO[name].preparation, shape)(picture)


def draw_sheet(path: Path, data_dir: Path) -> None:
    """Draw some pictures, below them the pixels that the model saw, and its answer."""
    rows = [(name, title) for name in MODELS for title in MODELS[name] if any(word in title for word in SHOWN)]
    figure, axes = plt.subplots(2, len(rows), figsize=(1.7 * len(rows), 4), layout="constrained")
    for column, (name, title) in enumerate(rows):
        test = ZOO[name].load(data_dir).test
        (file,) = frame(MODELS[name][title][0], test.images.numpy()[column % len(test)][None], title)
        pixels, probabilities = prepare(name, file), classify(name, [file])[0]
        best = int(probabilities.argmax())
        for axis, shown in zip(axes[:, column], (Image.open(io.BytesIO(file)), pixels), strict=True):
            axis.imshow(shown, cmap="gray", vmin=0, vmax=255)
            axis.set_axis_off()
        axes[0, column].set_title(title.split(":")[0], fontsize=8)
        axes[1, column].set_title(f"{ZOO[name].class_names[best]}, {probabilities[best]:.0%}", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
