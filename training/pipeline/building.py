"""Construction of a recipe's networks and training loop."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from training.data.datasets import DataSet
from training.device import half_of_threads
from training.export.folding import split_at_first_relu
from training.fitting.distillation import Teacher
from training.fitting.hard_examples import HardExampleSelector
from training.fitting.loop import Trainer
from training.networks.initialization import initialize
from training.provenance import MODELS_DIR
from training.recipes.recipe import Recipe
from training.recipes.zoo import TrainableModel


def make_trainer(
    model: TrainableModel,
    recipe: Recipe,
    data: DataSet,
    *,
    seed: int,
    device: torch.device,
    models_dir: Path = MODELS_DIR,
) -> Trainer:
    """Build a recipe's training loop, with networks initialised for the data.

    Args:
        model: builds the network.
        recipe: settings of the run.
        data: the data set.
        seed: of the run.
        device: of the network and the data.
        models_dir: folder of the published versions, for the recipe's teacher.
    """
    torch.manual_seed(seed)
    network, selector = make_network(model, recipe, data).to(device), None
    if recipe.hardest < 1:
        small = make_network(model, replace(recipe, widths=recipe.selector_widths, depth=2), data)
        selector = HardExampleSelector(small, recipe, device=device)
    teacher = None
    if recipe.teacher:
        teacher = Teacher(models_dir / recipe.teacher, device=device, threads=half_of_threads())
    return Trainer(network, data.to(device), recipe, seed=seed, device=device, selector=selector, teacher=teacher)


def make_network(model: TrainableModel, recipe: Recipe, data: DataSet) -> nn.Sequential:
    """Build a recipe's network, initialised for the data."""
    network = model.build(*data.pixel_statistics(), recipe)
    if recipe.strength_discount:
        split_at_first_relu(network)  # fail now, not after hours of training, if the network cannot be folded
    if recipe.whitened:
        initialize(network, data.train.images, epsilon=recipe.whitening_epsilon)
    return network
