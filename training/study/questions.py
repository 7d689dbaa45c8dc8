"""What the course's studies ask: a recipe, and what is varied of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from training.data.augmentation import Augmentation
from training.recipes.recipe import Recipe
from training.recipes.zoo import CIFAR10, MNIST, TrainableModel

Settings: TypeAlias = Mapping[str, float]  # of one combination, by name; bool is an int to Python, and an int a float
SEED = "seed"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One study."""

    name: str
    asks: str  # for people
    model: TrainableModel
    recipe: Recipe
    grid: Mapping[str, Sequence[float]]  # every combination is trained, with every seed
    vary: Callable[[Recipe, Settings], Recipe]


def _replace(recipe: Recipe, settings: Settings) -> Recipe:
    return replace(recipe, **settings)  # type: ignore[arg-type]  # each of its own type


def _take_parts_away(recipe: Recipe, settings: Settings) -> Recipe:
    augmentation = recipe.augmentation if settings["augmented"] else Augmentation()
    return replace(recipe, normalized=bool(settings["normalized"]), augmentation=augmentation)


QUESTIONS: Mapping[str, Question] = {
    question.name: question
    for question in (
        Question(
            name="mlp",
            asks="what learning rate, batch size and dropout do to the course's MLP",
            model=MNIST,
            recipe=MNIST.recipes["course"],
            grid={"lr": [1e-2, 1e-3, 1e-4], "batch_size": [32, 256], "drop_rate": [0.0, 0.3, 0.5], SEED: [0, 1, 2]},
            vary=_replace,
        ),
        Question(
            name="cnn",
            asks="what batch norm and augmentation buy a small CNN on CIFAR-10",
            model=CIFAR10,
            recipe=CIFAR10.recipes["course"],
            grid={"normalized": [False, True], "augmented": [False, True], SEED: [0, 1, 2]},
            vary=_take_parts_away,
        ),
    )
}
