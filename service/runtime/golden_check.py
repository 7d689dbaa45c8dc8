"""Golden check: this machine must compute the probabilities that the exporter stored."""

import zipfile
import zlib

import numpy as np

from models.contract import GOLDEN_FILES, golden_tolerance
from service.runtime.session import Images, ModelLoadError, OnnxClassifier, Probabilities

BATCH = 16  # images per run


def check_golden(classifier: OnnxClassifier, *, limit: int | None = None) -> None:
    """Compare a model's predictions with the stored probabilities of its golden images.

    Args:
        classifier: the model.
        limit: number of images to compare; None for all.

    Raises:
        ModelLoadError: the golden file is missing, or a probability differs by more than the tolerance.
    """
    difference = golden_difference(classifier, limit=limit)
    tolerance = golden_tolerance(classifier.card.precision, classifier.device)
    if not difference <= tolerance:  # a NaN fails too
        raise ModelLoadError(
            f"{classifier.path}: golden check failed, largest difference of a probability {difference:.1e}, "
            f"expected at most {tolerance:.0e} on {classifier.device}"
        )


def golden_difference(classifier: OnnxClassifier, *, limit: int | None = None) -> float:
    """Return the largest difference of a probability over the golden images.

    Range 0..1; NaN if a probability is NaN.

    Raises:
        ModelLoadError: the golden file is missing or unreadable.
    """
    images, expected = _read_golden(classifier)
    images, expected = images[:limit], expected[:limit]
    found = [classifier.predict(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return float(np.abs(np.concatenate(found) - expected).max())


def _read_golden(classifier: OnnxClassifier) -> tuple[Images, Probabilities]:
    """Return the golden images and their probabilities."""
    path = classifier.path.with_name(GOLDEN_FILES[classifier.card.precision])
    try:
        with np.load(path) as golden:
            images, expected = golden["images"], golden["probabilities"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelLoadError(f"cannot read {path}: {error}; export the model again") from error
    shape, num_classes = classifier.image_shape, len(classifier.card.class_names)
    if not len(images) or images.shape[1:] != shape or expected.shape != (len(images), num_classes):
        raise ModelLoadError(
            f"{path}: expected images (N, {', '.join(map(str, shape))}) and probabilities (N, {num_classes}), "
            f"got {images.shape} and {expected.shape}; export the model again"
        )
    return images, expected
