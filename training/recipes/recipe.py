"""Recipes: all settings of a training run except its seed, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from training.data.augmentation import Augmentation
from training.networks.architectures import Activation

Optimizer = Literal["adam", "adamw", "muon", "sgd"]
Schedule = Literal["constant", "plateau", "one-cycle", "triangular"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One reproducible training run."""

    epochs: int
    widths: tuple[int, ...] = (256, 128)  # widths of an MLP's hidden layers or of a CNN's groups
    depth: int = 2  # convolutions per group; three make it residual
    whitened: bool = True  # initialize a CNN with whitening and identity filters instead of random ones
    whitening_epsilon: float = 5e-4  # added to the variances of patches; smaller values amplify more noise
    batch_norm: bool = False  # batch norm in an MLP
    normalized: bool = True  # batch norm in a CNN
    activation: Activation = "relu"  # only for an MLP
    batch_size: int = 128
    optimizer: Optimizer = "adam"
    lr: float = 1e-3  # peak of the schedule
    bias_lr_factor: float = 1.0  # learning rate of batch norm biases, relative to `lr`
    momentum: float = 0.9  # Nesterov momentum of sgd and muon
    weight_decay: float = 0.0
    lookahead: bool = False
    schedule: Schedule = "constant"
    warmup: float = 0.2  # fraction of the steps in which the rate rises (triangular, one-cycle)
    drop_rate: float = 0.0
    label_smoothing: float = 0.0
    mixed_precision: bool = True  # bfloat16 if the hardware supports it
    teacher: str = ""  # NAME/VERSION of a published model whose probabilities are mixed with the labels
    teacher_share: float = 0.5  # weight of the teacher's probabilities in the targets, 0..1
    logit_matching: float = 0.0  # weight of the mean squared distance to the teacher's logits
    outlier_exposure: bool = False  # also train on outliers made of each batch, with the teacher's targets
    strength_discount: float = 0.0  # standard deviations of an MLP's largest logit subtracted per one of strength
    hardest: float = 1.0  # fraction of each batch to train on, selected by a small network of these widths
    selector_widths: tuple[int, ...] = (32, 64, 64)
    patience: int = 10  # epochs without a better validation accuracy until the run stops
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Reject unsupported combinations of settings.

        Raises:
            ValueError: outlier exposure without a teacher or with ``hardest`` below 1, or a strength discount with
                label smoothing or an activation other than relu.
        """
        if self.strength_discount and (self.is_smoothed or self.activation != "relu"):
            raise ValueError(
                f"strength_discount={self.strength_discount}: expected relu and label_smoothing=0, got "
                f"{self.activation} and label_smoothing={self.label_smoothing}"
            )
        if self.outlier_exposure and not self.teacher:
            raise ValueError("outlier_exposure=True: expected a teacher for the targets of outliers; set `teacher`")
        if self.outlier_exposure and self.hardest < 1:
            raise ValueError(
                f"outlier_exposure=True: expected hardest=1.0, got {self.hardest}; outliers have no labels"
            )

    @property
    def decays_to_zero(self) -> bool:
        """Tell whether the schedule ends at a learning rate of nearly 0."""
        return self.schedule in {"one-cycle", "triangular"}

    @property
    def is_smoothed(self) -> bool:
        """Tell whether labels are smoothed.

        Smoothing equalizes the size of logits and adds an offset to probabilities.
        """
        return self.label_smoothing > 0


def recipe_from_settings(settings: Mapping[str, Any]) -> Recipe:
    """Create a recipe from the settings in a ledger or a card.

    Missing settings have their defaults.

    Raises:
        TypeError: a setting no longer exists.
    """
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    augmentation = Augmentation(**settings.pop("augmentation", {}))
    settings.pop("name", None)
    return Recipe(**settings, augmentation=augmentation)


DEFORMATION = Augmentation(degrees=12, scale=0.12, shear=0.12, translate=1.5, elastic=1.4)  # after Simard et al. (2003)
GENTLE_DEFORMATION = replace(DEFORMATION, translate=1.0, elastic=1.0)

MNIST_TEACHER = "mnist-resnet/2"

MNIST_RECIPES = {
    "published": Recipe(
        epochs=100,
        widths=(1024, 1024),
        batch_norm=True,
        batch_size=512,
        optimizer="adamw",
        lr=3e-3,
        weight_decay=0.01,
        lookahead=True,
        schedule="triangular",
        teacher=MNIST_TEACHER,
        teacher_share=0.9,
        logit_matching=0.4,
        outlier_exposure=True,
        strength_discount=0.25,
        patience=100,
        augmentation=DEFORMATION,
    ),
    "course": Recipe(epochs=20, drop_rate=0.3, mixed_precision=False),
}

MNIST_CNN_RECIPES = {
    "published": Recipe(
        epochs=72,
        whitened=False,
        batch_size=256,
        optimizer="muon",
        lr=3e-3,
        weight_decay=0.01,
        lookahead=True,
        schedule="triangular",
        teacher=MNIST_TEACHER,
        teacher_share=0.9,
        patience=72,
        augmentation=DEFORMATION,
    ),
}

MNIST_RESNET_RECIPES = {
    "published": Recipe(
        epochs=30,
        widths=(48, 96, 128),
        depth=3,
        whitened=False,
        batch_size=256,
        optimizer="sgd",
        lr=0.1,
        weight_decay=5e-4,
        lookahead=True,
        schedule="triangular",
        drop_rate=0.2,
        patience=30,
        augmentation=GENTLE_DEFORMATION,
    ),
}

CIFAR10_RECIPES = {
    "published": Recipe(  # airbench96_faster (Jordan 2024), narrower and longer; its rate is for a sum of 1024 losses
        epochs=75,
        widths=(96, 320, 256),
        depth=3,
        batch_size=1024,
        optimizer="sgd",
        lr=0.587,
        bias_lr_factor=64,
        momentum=0.85,
        weight_decay=2.67e-3,
        lookahead=True,
        schedule="triangular",
        warmup=0.1,
        label_smoothing=0.2,
        hardest=0.5,
        patience=75,
        augmentation=Augmentation(flip=True, shift=4, cutout=12),
    ),
    "course": Recipe(
        epochs=8,
        widths=(48, 96, 128),
        whitened=False,
        lr=3e-3,
        schedule="triangular",
        patience=8,
        augmentation=Augmentation(flip=True, shift=2),
    ),
}
