"""Construction of a recipe's networks and training loop."""

from dataclasses import replace

import torch
from torch import nn

from training.data.datasets import DataSet
from training.device import half_of_threads
from training.export.folding import strength_parts
from training.fitting.distillation import Teacher
from training.fitting.hard_examples import HardestImages
from training.fitting.loop import Fitting
from training.networks.initialization import initialize
from training.provenance import MODELS_DIR
from training.recipes.recipe import Recipe
from training.recipes.zoo import TrainableModel


def make_fitting(model: TrainableModel, recipe: Recipe, data: DataSet, *, seed: int, device: torch.device) -> Fitting:
    """Build a recipe's training loop, with networks initialised for the data."""
    torch.manual_seed(seed)
    network, selector = make_network(model, recipe, data).to(device), None
    if recipe.hardest < 1:
        small = make_network(model, replace(recipe, widths=recipe.selector_widths, depth=2), data)
        selector = HardestImages(small, recipe, device=device)
    teacher = None
    if recipe.teacher:
        teacher = Teacher(MODELS_DIR / recipe.teacher, device=device, threads=half_of_threads())
    return Fitting(network, data.to(device), recipe, seed=seed, device=device, selector=selector, teacher=teacher)


def make_network(model: TrainableModel, recipe: Recipe, data: DataSet) -> nn.Sequential:
    """Build a recipe's network, initialised for the data."""
    network = model.build(*data.pixel_statistics(), recipe)
    if recipe.strength_discount:
        strength_parts(network)  # fail now, not after hours of training, if the network cannot be folded
    if recipe.whitened:
        initialize(network, data.train.images)
    return network
