"""The quality gate: checks that a model must pass before it is published."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.card import Metrics
from models.contract import GOLDEN_FILES, golden_tolerance
from training.errors import TrainingError
from training.export.onnx_file import predict_onnx
from training.plurals import describe_count


class GateError(TrainingError):
    """The model failed a release gate."""


def write_golden(path: Path, images: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
    """Write images, (N, ...) uint8, and their probabilities, (N, K) float32."""
    np.savez_compressed(path, images=images, probabilities=probabilities)


def check_golden(path: Path, precision: str = "float32") -> None:
    """Compare an ONNX file with its golden file, as the service does.

    Raises:
        GateError: a probability differs by more than the tolerance.
    """
    with np.load(path.with_name(GOLDEN_FILES[precision])) as golden:
        images, expected = golden["images"], golden["probabilities"]
    difference = float(np.abs(predict_onnx(path, images) - expected).max())
    tolerance = golden_tolerance(precision, "cpu")
    if not difference <= tolerance:
        raise GateError(f"golden images: probabilities differ by {difference:.1e} (limit {tolerance:.0e})")


def check_loss(lossy: Metrics, float32: Metrics, *, max_loss: float) -> None:
    """Reject a graph of a lower precision that loses too much accuracy.

    Raises:
        GateError: the loss exceeds ``max_loss``, 0..1.
    """
    lost = float32.accuracy - lossy.accuracy
    if lost > max_loss + 1e-9:  # tolerance for rounding of the difference
        raise GateError(f"accuracy is {lost:.2%} below float32 (limit {max_loss:.2%})")


def check_accuracy(metrics: Metrics, min_accuracy: float) -> None:
    """Reject a model below its minimum accuracy.

    Raises:
        GateError: the accuracy is below ``min_accuracy``.
    """
    if metrics.accuracy < min_accuracy:
        images = describe_count(metrics.num_images, "test image")
        raise GateError(
            f"accuracy {metrics.accuracy:.2%} on {images} is below {min_accuracy:.2%}; "
            "nothing published; train longer, or publish this run with --resume and a lower --min-accuracy"
        )
