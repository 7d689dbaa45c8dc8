"""Questions of the course's studies: a recipe and a grid of varied settings each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from training.data.augmentation import Augmentation
from training.recipes.recipe import Recipe
from training.recipes.zoo import CIFAR10, MNIST, TrainableModel

Settings: TypeAlias = Mapping[str, float]  # of one combination, by name; typed float, as bool and int are subtypes
SEED = "seed"


@dataclass(frozen=True, kw_only=True)
class Question:
    """The question that one study answers."""

    name: str
    description: str  # for the help text
    model: TrainableModel
    recipe: Recipe
    grid: Mapping[str, Sequence[float]]  # setting -> values; every combination is trained
    vary: Callable[[Recipe, Settings], Recipe]


def _replace(recipe: Recipe, settings: Settings) -> Recipe:
    return replace(recipe, **settings)  # type: ignore[arg-type]  # fields have different types


def _disable_parts(recipe: Recipe, settings: Settings) -> Recipe:
    augmentation = recipe.augmentation if settings["augmented"] else Augmentation()
    return replace(recipe, normalized=bool(settings["normalized"]), augmentation=augmentation)


QUESTIONS: Mapping[str, Question] = {
    question.name: question
    for question in (
        Question(
            name="mlp",
            description="effect of learning rate, batch size and dropout on the course's MLP",
            model=MNIST,
            recipe=MNIST.recipes["course"],
            grid={"lr": [1e-2, 1e-3, 1e-4], "batch_size": [32, 256], "drop_rate": [0.0, 0.3, 0.5], SEED: [0, 1, 2]},
            vary=_replace,
        ),
        Question(
            name="cnn",
            description="effect of batch norm and augmentation on a small CNN for CIFAR-10",
            model=CIFAR10,
            recipe=CIFAR10.recipes["course"],
            grid={"normalized": [False, True], "augmented": [False, True], SEED: [0, 1, 2]},
            vary=_disable_parts,
        ),
    )
}
