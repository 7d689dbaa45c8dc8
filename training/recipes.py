"""Recipes: everything that decides a training run except its seed, as data."""

from dataclasses import dataclass, field
from typing import Literal

from training.augmentation import Augmentation

Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "triangular"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One reproducible training run."""

    epochs: int
    batch_size: int = 128
    optimizer: Optimizer = "adam"
    lr: float = 1e-3  # peak of the schedule
    momentum: float = 0.9  # of sgd, Nesterov's
    weight_decay: float = 0.0  # of matrices and filters; biases and norms have none
    schedule: Schedule = "constant"
    warmup: float = 0.2  # share of the steps in which a triangular schedule rises
    drop_rate: float = 0.0
    label_smoothing: float = 0.0
    mixed_precision: bool = True  # bfloat16 where the hardware has it
    patience: int = 10  # epochs without a better validation accuracy before the run stops
    augmentation: Augmentation = field(default_factory=Augmentation)


MNIST_RECIPES = {
    "published": Recipe(
        epochs=120,
        batch_size=256,
        optimizer="adamw",
        lr=2e-3,
        weight_decay=0.01,
        schedule="triangular",
        drop_rate=0.1,
        mixed_precision=False,
        patience=30,
        augmentation=Augmentation(degrees=12, scale=0.12, shear=0.12, translate=2),
    ),
    "course": Recipe(epochs=20, drop_rate=0.3, mixed_precision=False),
}

CIFAR10_RECIPES = {
    "published": Recipe(
        epochs=26,
        batch_size=512,
        optimizer="sgd",
        lr=0.4,
        weight_decay=5e-4,
        schedule="triangular",
        label_smoothing=0.1,
        augmentation=Augmentation(flip=True, shift=3, cutout=8),
    ),
}
