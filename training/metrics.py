"""How good probabilities are: NumPy alone, so that the ONNX file is measured by the formulas of the training run."""

import numpy as np
from numpy.typing import NDArray

from models.card import Metrics

NUM_BINS = 15  # of the calibration error, as Guo et al. (2017) count


def measure(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Metrics:
    """Measure predictions on every image of a split.

    Args:
        probabilities: (N, K), rows that sum to 1.
        labels: (N,) class ids.
    """
    return Metrics(
        accuracy=accuracy(probabilities, labels),
        nll=negative_log_likelihood(probabilities, labels),
        ece=expected_calibration_error(probabilities, labels),
        num_images=len(labels),
    )


def accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the share of images whose likeliest class is theirs, 0..1."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def negative_log_likelihood(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the mean of -log p(label), in nats; a probability that underflowed counts as the least float32."""
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(own, np.finfo(np.float32).tiny)).mean())


def expected_calibration_error(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the mean gap between confidence and accuracy over equal-width bins of confidence, 0..1."""
    confidences = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidences * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)  # (0, 1/15], (1/15, 2/15], ...
    gaps = np.bincount(bins, weights=correct - confidences, minlength=NUM_BINS)  # summed, not yet divided by N
    return float(np.abs(gaps).sum() / len(labels))
