"""Tiny models from the real exporter, with any image shape and classes."""

import torch
from torch import nn

from models.card import ModelCard
from training.data.datasets import Split
from training.export.calibration import Calibration
from training.export.onnx_file import CalibratedClassifier
from training.networks.architectures import PixelNormalizer
from training.pipeline.publishing import staged_version, write_version

DIGITS = tuple("0123456789")


def tiny_classifier(*, image_shape=(28, 28), num_classes=10, temperature=2.0, seed=0):
    """Create a model of one linear layer over the raw pixels, with random weights."""
    torch.manual_seed(seed)
    pixels = int(torch.tensor(image_shape).prod())
    normalizer = PixelNormalizer([128.0] * (1 if len(image_shape) == 2 else 3), [64.0])
    network = nn.Sequential(normalizer, nn.Flatten(), nn.Linear(pixels, num_classes))
    return CalibratedClassifier(network, Calibration(temperature=temperature))


def random_split(*, image_shape=(28, 28), num_classes=10, count=20, seed=0):
    """Create noise images whose labels cycle through the classes."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, *image_shape), dtype=torch.uint8, generator=generator)
    return Split(images=images, labels=torch.arange(count) % num_classes)


def publish_tiny_model(
    out,
    name="tiny",
    *,
    image_shape=(28, 28),
    class_names=DIGITS,
    preparation="digit",
    seed=0,
    classifier=None,
    min_accuracy=0.0,
    max_accuracy_loss=1.0,
    calibration=None,
    describe=lambda _staged: None,
):
    """Publish ``out``/name/<next version>/ and return its path.

    ``describe`` gets the staged version.
    """
    classifier = classifier or tiny_classifier(image_shape=image_shape, num_classes=len(class_names), seed=seed)
    with staged_version(out / name) as staged:

        def make_card(test):
            return ModelCard(
                name=name,
                version=staged.version,
                class_names=class_names,
                preparation=preparation,
                test=test,
                temperature=classifier.calibration.temperature,
                seed=seed,
                parameters=1,
                multiply_adds=1,
                date="2026-11-22T00:00:00+00:00",
                git_commit="unknown",
            )

        test = random_split(image_shape=image_shape, num_classes=len(class_names))
        write_version(
            staged.path,
            classifier,
            test=test,
            min_accuracy=min_accuracy,
            max_accuracy_loss=max_accuracy_loss,
            make_card=make_card,
            calibration=calibration,
        )
        describe(staged)
    return staged.published_folder


class Drifting(nn.Module):
    """Network with a correct export and wrong logits after ``right_calls`` calls."""

    def __init__(self, right_calls):
        super().__init__()
        self.network = tiny_classifier().network
        self.right_calls = right_calls

    def forward(self, images):
        logits = self.network(images)
        if torch.compiler.is_exporting():
            return logits
        self.right_calls -= 1
        return logits if self.right_calls >= 0 else logits.flip(1)
