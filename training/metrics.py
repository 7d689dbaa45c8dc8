"""Metrics of predicted probabilities.

They use only NumPy, so that PyTorch and ONNX results share the formulas.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.card import Metrics

NUM_BINS = 15  # of the calibration error, as in Guo et al. (2017)


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Predictions in :data:`NUM_BINS` confidence bins of equal width.

    The mean of an empty bin is 0.
    """

    counts: NDArray[np.int64]
    confidences: NDArray[np.float64]  # mean
    accuracies: NDArray[np.float64]


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
    """Return the fraction of images classified correctly, 0..1."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def negative_log_likelihood(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the mean of -log p(label), in nats; p >= the smallest normal float32."""
    label_probabilities = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(label_probabilities, np.finfo(np.float32).tiny)).mean())


def expected_calibration_error(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the mean gap between confidence and accuracy over the bins, 0..1."""
    bins = reliability(probabilities, labels)
    return float((bins.counts * np.abs(bins.accuracies - bins.confidences)).sum() / len(labels))


def reliability(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Reliability:
    """Group predictions by confidence, in bins (0, 1/15], (1/15, 2/15], ..."""
    confidences = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidences * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    sums = (np.bincount(bins, weights=values, minlength=NUM_BINS) for values in (confidences, correct))
    mean_confidences, accuracies = (total / np.maximum(counts, 1) for total in sums)
    return Reliability(counts=counts, confidences=mean_confidences, accuracies=accuracies)


def auroc(inliers: NDArray[np.floating], outliers: NDArray[np.floating]) -> float:
    """Return P(inlier score > outlier score), ties counting half.

    This is the area under the ROC curve, 0..1.
    """
    ordered = np.sort(outliers)
    below, up_to = np.searchsorted(ordered, inliers, "left"), np.searchsorted(ordered, inliers, "right")
    return float((below + up_to).mean() / 2 / len(ordered))


def confusion_matrix(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count images by label (row) and predicted class (column): (K, K)."""
    num_classes = probabilities.shape[1]
    pairs = labels * num_classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def worst_mistakes(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the indices of misclassified images, by decreasing confidence."""
    (wrong,) = np.nonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities.max(axis=1)[wrong], kind="stable")]
