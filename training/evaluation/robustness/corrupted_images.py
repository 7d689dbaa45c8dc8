"""Accuracy, calibration and familiarity of a version's graphs on corrupted test images.

The corruptions are those of CIFAR-10-C and MNIST-C, and Gaussian noise. Images are made from the test split and
prepared as in the service. The measurements are stored next to the graphs.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from models.card import Preparation
from models.contract import graphs_of
from training.data.datasets import Split
from training.evaluation.robustness.classification import classify_pictures
from training.evaluation.robustness.corruption import Corruption, Corruptions, gaussian_noise
from training.evaluation.robustness.digit_corruptions import DIGIT_CORRUPTIONS
from training.evaluation.robustness.framed_images import sample_images
from training.evaluation.robustness.measurement import default_count
from training.evaluation.robustness.photo_corruptions import PHOTO_CORRUPTIONS
from training.export.familiarity import share_familiar
from training.metrics import accuracy, expected_calibration_error
from training.provenance import git_commit
from training.recipes.zoo import TrainableModel

CORRUPTIONS_FILE = "corruptions.json"
COUNT = 500  # images per severity, at most; see default_count
CLEAN = "none"
NOISE_SIGMAS = (3, 5, 10, 20)  # of 255
NOISE: Corruptions = {
    f"noise, sigma {sigma}": Corruption(function=gaussian_noise, severities=[(sigma / 255,)]) for sigma in NOISE_SIGMAS
}
STANDARD: Mapping[Preparation, Corruptions] = {"digit": DIGIT_CORRUPTIONS, "photo": PHOTO_CORRUPTIONS}
SHAPES: Mapping[Preparation, tuple[int, ...]] = {"digit": (28, 28), "photo": (32, 32, 3)}  # of the definitions

Images = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class CorruptionMeasurement:
    """Measurement of one graph on all severities of a corruption together."""

    corruption: str
    num_images: int
    error: float  # 0..1
    ece: float  # expected calibration error, 0..1
    familiar_share: float  # 0..1

    @property
    def shares(self) -> tuple[float, float, float]:
        """Error, calibration error and familiar share."""
        return self.error, self.ece, self.familiar_share


@dataclass(frozen=True, kw_only=True)
class CorruptionReport:
    """Measurements of every graph of a version: no corruption, then each one."""

    git_commit: str  # of the measuring code
    graphs: Mapping[str, Sequence[CorruptionMeasurement]]  # by precision

    @classmethod
    def from_json(cls, text: str) -> "CorruptionReport":
        """Parse the format of :func:`write_corruptions`."""
        fields = json.loads(text)
        graphs = {
            precision: [CorruptionMeasurement(**row) for row in rows] for precision, rows in fields["graphs"].items()
        }
        return cls(git_commit=fields["git_commit"], graphs=graphs)

    def mean(self, precision: str) -> CorruptionMeasurement:
        """Return the means over the corruptions of CIFAR-10-C or MNIST-C."""
        rows = [row for row in self.graphs[precision] if row.corruption not in {CLEAN, *NOISE}]
        error, ece, familiar_share = np.mean([row.shares for row in rows], axis=0).tolist()
        count = sum(row.num_images for row in rows)
        return CorruptionMeasurement(
            corruption=f"mean of the {len(rows)}", num_images=count, error=error, ece=ece, familiar_share=familiar_share
        )


def measure_corruptions(
    folder: Path, model: TrainableModel, test: Split, *, count: int | None = None
) -> CorruptionReport | None:
    """Measure every graph of a version; return None if images have another shape.

    Args:
        folder: of the version.
        model: the definition of the version's model.
        test: the test split.
        count: images per severity.
    """
    image_shape = tuple(test.images.shape[1:])
    if image_shape != SHAPES[model.preparation]:
        return None
    graphs = graphs_of(folder)
    rows: dict[str, list[CorruptionMeasurement]] = {precision: [] for precision in graphs}
    chosen, labels = sample_images(test, count or default_count(len(test), most=COUNT))
    kinds = {**STANDARD[model.preparation], **NOISE}
    batches = _corrupt_all(kinds, chosen)
    bar = tqdm(batches, total=1 + len(kinds), desc="measuring corruptions", unit="kind", leave=False)
    for name, corrupted in bar:
        pictures = [partial(Image.fromarray, image) for image in corrupted]
        expected = np.tile(labels, len(pictures) // len(labels))
        for precision, results in classify_pictures(graphs, pictures, model.preparation, image_shape).items():
            rows[precision].append(
                CorruptionMeasurement(
                    corruption=name,
                    num_images=len(pictures),
                    error=round(1 - accuracy(results.probabilities, expected), 4),
                    ece=round(expected_calibration_error(results.probabilities, expected), 4),
                    familiar_share=share_familiar(results.familiarity),
                )
            )
    return CorruptionReport(git_commit=git_commit(), graphs=rows)


def corrupt(name: str, corruption: Corruption, images: Images) -> Iterator[Images]:
    """Yield the corrupted images of each severity; the name seeds the generator.

    Shape: (N, H, W) or (N, H, W, 3) uint8 -> the same.
    """
    random = np.random.default_rng(zlib.crc32(name.encode()))
    values = images / 255
    for constants in corruption.severities:
        corrupted = corruption.function(values, random, *constants)
        yield (corrupted.clip(0, 1) * 255).round().astype(np.uint8)


def write_corruptions(folder: Path, report: CorruptionReport | None) -> None:
    """Write the measurements into the version's folder, if there are any."""
    if report:
        (folder / CORRUPTIONS_FILE).write_text(json.dumps(asdict(report), indent=1) + "\n")


def read_corruptions(folder: Path) -> CorruptionReport | None:
    """Return the version's stored measurements, or None."""
    path = folder / CORRUPTIONS_FILE
    return CorruptionReport.from_json(path.read_text()) if path.exists() else None


def _corrupt_all(kinds: Corruptions, images: Images) -> Iterator[tuple[str, Images]]:
    """Yield each corruption's name and the images of all its severities."""
    yield CLEAN, images
    for name, corruption in kinds.items():
        yield name, np.concatenate(list(corrupt(name, corruption, images)))
