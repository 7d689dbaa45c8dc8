"""Accuracy and familiarity of a version's graphs on framed and unrelated images.

Measured when a version is published and whenever its card is rendered again, because preparation and pictures may have
changed. Stored next to the graphs.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from models.contract import FAMILIARITY_THRESHOLD, graphs_of
from training.data.datasets import Split
from training.evaluation.robustness.classification import Picture, classify_pictures
from training.evaluation.robustness.framed_images import FRAMINGS, frame_all, sample_images
from training.evaluation.robustness.optdigits import OPTDIGITS_KINDS, load_optdigits
from training.evaluation.robustness.unrelated_images import Draw, draw_pictures, unrelated_kinds
from training.export.familiarity import share_familiar
from training.metrics import accuracy, auroc
from training.provenance import git_commit
from training.recipes.zoo import MNIST, TrainableModel

ROBUSTNESS_FILE = "robustness.json"
TEST_IMAGES = "test images"
COUNT, SHARE = 1000, 0.1  # pictures per kind: the smaller of COUNT and this share of the test images

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class KindMeasurement:
    """Measurement of one graph on pictures of one kind."""

    kind: str
    num_images: int
    familiar_share: float  # 0..1
    accuracy: float | None = None  # 0..1; None for unrelated images
    familiar_errors: float | None = (
        None  # share of pictures that are familiar and wrong, 0..1; None for unrelated images
    )
    auroc: float | None = None  # 0..1, of familiarity between test and unrelated images; None for framings


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Measurements of every graph of a version on every kind of pictures."""

    git_commit: str  # of the measuring code
    graphs: Mapping[str, Sequence[KindMeasurement]]  # precision -> the test images, then each kind

    @classmethod
    def from_json(cls, text: str) -> "Robustness":
        """Parse the format of :func:`write_robustness`."""
        fields = json.loads(text)
        graphs = {precision: [KindMeasurement(**row) for row in rows] for precision, rows in fields["graphs"].items()}
        return cls(git_commit=fields["git_commit"], graphs=graphs)

    def kinds(self) -> list[tuple[KindMeasurement, ...]]:
        """Return the measurements per kind, one per graph in the order of ``graphs``."""
        return list(zip(*self.graphs.values(), strict=True))


def default_count(num_images: int, *, most: int = COUNT) -> int:
    """Return the number of pictures per kind for a test split, at most ``most``."""
    return max(1, min(most, round(SHARE * num_images)))


def measure_robustness(
    folder: Path, model: TrainableModel, test: Split, data_dir: Path, *, count: int | None = None
) -> Robustness:
    """Measure every graph of a version on test images and pictures of every kind.

    Args:
        folder: of the version.
        model: the definition of the version's model.
        test: the test split.
        data_dir: may have another data set, see :func:`unrelated_kinds`.
        count: pictures per kind.
    """
    graphs = graphs_of(folder)
    rows: dict[str, list[KindMeasurement]] = {precision: [] for precision in graphs}
    test_familiarity: dict[str, NDArray[np.float32]] = {}
    optdigits = OPTDIGITS_KINDS if model.class_names == MNIST.class_names else {}
    unrelated = unrelated_kinds(model, test, data_dir)
    kinds = _draw_kinds(model, test, optdigits, unrelated, count=count or default_count(len(test)))
    total = 1 + len(FRAMINGS[model.preparation]) + len(optdigits) + len(unrelated)
    image_shape = tuple(test.images.shape[1:])
    for kind, pictures, labels in tqdm(kinds, total=total, desc="measuring robustness", unit="kind", leave=False):
        found = classify_pictures(graphs, pictures, model.preparation, image_shape)
        for precision, results in found.items():
            familiarity = results.familiarity
            inliers = test_familiarity.setdefault(precision, familiarity)  # the test images come first
            measured = KindMeasurement(kind=kind, num_images=len(pictures), familiar_share=share_familiar(familiarity))
            if labels is None:
                measured = replace(measured, auroc=round(auroc(inliers, familiarity), 4))
            else:
                is_wrong = results.probabilities.argmax(axis=1) != labels
                is_familiar = familiarity >= FAMILIARITY_THRESHOLD
                measured = replace(
                    measured,
                    accuracy=round(accuracy(results.probabilities, labels), 4),
                    familiar_errors=round(float((is_wrong & is_familiar).mean()), 4),
                )
            rows[precision].append(measured)
    return Robustness(git_commit=git_commit(), graphs=rows)


def write_robustness(folder: Path, robustness: Robustness) -> None:
    """Write the measurements into the version's folder."""
    (folder / ROBUSTNESS_FILE).write_text(json.dumps(asdict(robustness), indent=1) + "\n")


def read_robustness(folder: Path) -> Robustness | None:
    """Return the version's stored measurements, or None."""
    path = folder / ROBUSTNESS_FILE
    return Robustness.from_json(path.read_text()) if path.exists() else None


def _draw_kinds(
    model: TrainableModel,
    test: Split,
    optdigits: Mapping[str, Collection[int]],
    unrelated: Mapping[str, Draw],
    *,
    count: int,
) -> Iterator[tuple[str, Sequence[Picture], Labels | None]]:
    """Yield each kind's name, pictures and, if it has any, labels."""
    native = [partial(Image.fromarray, image) for image in test.images.cpu().numpy()]
    yield TEST_IMAGES, native, test.labels.cpu().numpy()
    chosen, labels = sample_images(test, count)
    for kind, framed in frame_all(model.preparation, chosen):
        yield kind, framed, labels
    for kind, digits in optdigits.items():
        pictures, labels = load_optdigits(count, digits)
        yield kind, [picture.copy for picture in pictures], labels
    for kind, draw in unrelated.items():
        yield kind, [picture.copy for picture in draw_pictures(kind, draw, count)], None
