"""What a model must show before it becomes a version."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.card import Metrics
from models.layout import GOLDEN_FILE, GOLDEN_TOLERANCE, MODEL_FILE
from training.errors import TrainingError
from training.export import CalibratedClassifier, predict_onnx

MAX_INT8_LOSS = 0.002  # of accuracy on the test split, 0..1


class GateError(TrainingError):
    """The model does not earn a version."""


def write_golden(folder: Path, classifier: CalibratedClassifier, images: Tensor) -> None:
    """Keep a few uint8 images with the probabilities that PyTorch gives, for whoever serves the model to compare."""
    with torch.inference_mode():
        probabilities = classifier(images)[0]
    np.savez_compressed(folder / GOLDEN_FILE, images=images.numpy(), probabilities=probabilities.numpy())


def check_golden(folder: Path) -> None:
    """Compare the folder's ONNX file with its golden images, as the service will.

    Raises:
        GateError: a probability differs by more than the tolerance.
    """
    with np.load(folder / GOLDEN_FILE) as golden:
        images, expected = golden["images"], golden["probabilities"]
    difference = float(np.abs(predict_onnx(folder / MODEL_FILE, images) - expected).max())
    tolerance = GOLDEN_TOLERANCE["cpu"]
    if not difference <= tolerance:
        raise GateError(
            f"the golden images differ by {difference:.1e}; at most {tolerance:.0e} is right; nothing published"
        )


def check_int8(int8: Metrics, float32: Metrics) -> None:
    """Refuse an int8 graph that loses accuracy.

    Raises:
        GateError: it does.
    """
    lost = float32.accuracy - int8.accuracy
    if lost > MAX_INT8_LOSS + 1e-9:  # a difference of floats
        raise GateError(f"in 8 bits it loses {lost:.2%} of accuracy; at most {MAX_INT8_LOSS:.2%} is right")


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
