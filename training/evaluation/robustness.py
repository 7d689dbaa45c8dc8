"""How a version's graphs answer pictures unlike the test images: framed as people send them, or of other things.

It is measured when a version is published and whenever its card is rendered again, as preparation and pictures may have
changed since, and kept beside the graphs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.contract import FAMILIARITY, graphs_of
from models.preparation.preparer import preparer
from training.data.datasets import Split
from training.evaluation.framed import choose, framed
from training.evaluation.optdigits import OPTDIGITS, optdigits
from training.evaluation.outliers import outliers
from training.export.familiarity import share_familiar
from training.export.onnx_file import run_onnx
from training.metrics import accuracy, auroc
from training.provenance import git_commit
from training.recipes.zoo import MNIST, TrainableModel

ROBUSTNESS_FILE = "robustness.json"
TEST_IMAGES = "test images"
COUNT, SHARE = 1000, 0.1  # of the test images, framed in each way, and of pictures of each other thing: the less

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class KindMeasurement:
    """How a graph answers pictures of one kind."""

    pictures: str  # the kind
    count: int
    familiar: float  # share of them, 0..1
    read: float | None = None  # share of them; none of pictures of other things
    auroc: float | None = None  # 0..1, of the familiarity that tells pictures of other things from the test images


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """How each graph of a version answers pictures of every kind."""

    git_commit: str  # of the code that measured
    graphs: Mapping[str, Sequence[KindMeasurement]]  # precision -> the test images, then each kind

    @classmethod
    def from_json(cls, text: str) -> "Robustness":
        """Read what :func:`write_robustness` wrote."""
        fields = json.loads(text)
        graphs = {precision: [KindMeasurement(**row) for row in rows] for precision, rows in fields["graphs"].items()}
        return cls(git_commit=fields["git_commit"], graphs=graphs)

    def kinds(self) -> list[tuple[KindMeasurement, ...]]:
        """Return each kind as every graph answers it, in the order of ``graphs``."""
        return list(zip(*self.graphs.values(), strict=True))


def default_count(num_images: int) -> int:
    """Return how many pictures of each kind a test split is measured with."""
    return max(1, min(COUNT, round(SHARE * num_images)))


def measure_robustness(
    folder: Path, model: TrainableModel, test: Split, data_dir: Path, *, count: int | None = None
) -> Robustness:
    """Ask every graph of a version about its test images and about pictures of every kind.

    Args:
        folder: of the version.
        model: that it is a version of.
        test: the test split.
        data_dir: where another data set may lie, see :func:`outliers`.
        count: of pictures of each kind.
    """
    graphs = graphs_of(folder)
    rows: dict[str, list[KindMeasurement]] = {precision: [] for precision in graphs}
    real: dict[str, NDArray[np.float32]] = {}
    kinds = _pictures(model, test, data_dir, count or default_count(len(test)))
    for title, images, labels in tqdm(kinds, desc="pictures unlike the test images", unit="kind", leave=False):
        for precision, path in graphs.items():
            probabilities, familiarity = run_onnx(path, ["probabilities", FAMILIARITY], images)
            known = real.setdefault(precision, familiarity)  # the test images come first
            rows[precision].append(
                KindMeasurement(
                    pictures=title,
                    count=len(images),
                    familiar=share_familiar(familiarity),
                    read=None if labels is None else round(accuracy(probabilities, labels), 4),
                    auroc=round(auroc(known, familiarity), 4) if labels is None else None,
                )
            )
    return Robustness(git_commit=git_commit(), graphs=rows)


def write_robustness(folder: Path, robustness: Robustness) -> None:
    """Keep it with the version."""
    (folder / ROBUSTNESS_FILE).write_text(json.dumps(asdict(robustness), indent=1) + "\n")


def read_robustness(folder: Path) -> Robustness | None:
    """Return what is kept with the version, None if nothing is."""
    path = folder / ROBUSTNESS_FILE
    return Robustness.from_json(path.read_text()) if path.exists() else None


def _pictures(
    model: TrainableModel, test: Split, data_dir: Path, count: int
) -> Iterator[tuple[str, Images, Labels | None]]:
    """Yield each kind of pictures as the model gets them, with labels where there are any."""
    yield TEST_IMAGES, test.images.cpu().numpy(), test.labels.cpu().numpy()
    chosen, labels = choose(test, count)
    for title, images in framed(model.preparation, chosen):
        yield title, images, labels
    if model.class_names == MNIST.class_names:
        prepare = preparer(model.preparation, test.images.shape[1:])
        for title, digits in OPTDIGITS.items():
            pictures, labels = optdigits(count, digits)
            yield title, np.stack([prepare(picture) for picture in pictures]), labels
    for title, images in outliers(model, test, data_dir, count=count):
        yield title, images, None
