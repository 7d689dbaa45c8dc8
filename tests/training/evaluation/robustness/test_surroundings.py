"""Pictures whose surroundings are no paper, against their controls."""

import io

import pytest
from PIL import Image
from support.paths import ROOT
from support.samples import split

from models.contract import FAMILIARITY_THRESHOLD, MODEL_FILE, newest_version
from training.evaluation.robustness.classification import classify_pictures
from training.evaluation.robustness.framed_images import frame, sample_images
from training.evaluation.robustness.surroundings import CONTROL, KINDS, SURROUNDINGS


def classify(title, *, count=40):
    """Return whether each picture is classified correctly, and whether it is familiar."""
    images, labels = sample_images(split("mnist"), count)
    pictures = [Image.open(io.BytesIO(file)).copy for file in frame(SURROUNDINGS[title], images, title)]
    graph = newest_version(ROOT / "models" / "mnist") / MODEL_FILE
    found = classify_pictures({"": graph}, pictures, "digit", (28, 28))[""]
    return found.probabilities.argmax(axis=1) == labels, found.familiarity >= FAMILIARITY_THRESHOLD


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_right_or_unfamiliar(kind):
    is_right, is_familiar = classify(kind)
    control, _ = classify(kind + CONTROL)
    assert (is_right | ~is_familiar).mean() >= 0.9 * control.mean() >= 0.8
    assert is_right.mean() >= 0.85
