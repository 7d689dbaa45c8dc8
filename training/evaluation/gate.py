"""What a model must show before it becomes a version."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.card import Metrics
from models.contract import GOLDEN_FILES, golden_tolerance
from training.errors import TrainingError
from training.export.onnx_file import predict_onnx

MAX_LOSS = 0.002  # of accuracy on the test split by a lower precision, 0..1


class GateError(TrainingError):
    """The model does not earn a version."""


def write_golden(path: Path, images: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
    """Write a golden file: images, (N, ...) uint8, with the probabilities, (N, K) float32, that a service must give."""
    np.savez_compressed(path, images=images, probabilities=probabilities)


def check_golden(path: Path, precision: str = "float32") -> None:
    """Compare an ONNX file with the golden images beside it, as the service will.

    Raises:
        GateError: a probability differs by more than the tolerance.
    """
    with np.load(path.with_name(GOLDEN_FILES[precision])) as golden:
        images, expected = golden["images"], golden["probabilities"]
    difference = float(np.abs(predict_onnx(path, images) - expected).max())
    tolerance = golden_tolerance(precision, "cpu")
    if not difference <= tolerance:
        raise GateError(f"the golden images differ by {difference:.1e}; at most {tolerance:.0e} is right")


def check_loss(lossy: Metrics, float32: Metrics) -> None:
    """Refuse a graph of a lower precision that loses accuracy.

    Raises:
        GateError: it does.
    """
    lost = float32.accuracy - lossy.accuracy
    if lost > MAX_LOSS + 1e-9:  # a difference of floats
        raise GateError(f"it loses {lost:.2%} of accuracy; at most {MAX_LOSS:.2%} is right")


def check_accuracy(metrics: Metrics, min_accuracy: float) -> None:
    """Refuse a model that is worse than its floor.

    Raises:
        GateError: it is.
    """
    if metrics.accuracy < min_accuracy:
        raise GateError(
            f"accuracy {metrics.accuracy:.2%} on {metrics.num_images:,} test images is below {min_accuracy:.2%}; "
            "nothing published; train longer, or lower --min-accuracy"
        )
