"""Optimisers by name, and the learning rate by progress alone, so that a resumed run needs no scheduler."""

import torch
from torch import nn

from training.recipes import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Create the recipe's optimiser; biases and norms are not decayed."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [weights for weights in trained if weights.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [weights for weights in trained if weights.ndim <= 1], "weight_decay": 0.0},
    ]
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=True)
        case "adam":
            return torch.optim.Adam(groups, lr=recipe.lr)
        case "adamw":
            return torch.optim.AdamW(groups, lr=recipe.lr)


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the rate after ``progress`` of the run, 0..1; a triangle rises to the peak and falls to nothing."""
    if recipe.schedule == "constant":
        return recipe.lr
    rising = (progress + 1e-3) / (recipe.warmup + 1e-3)  # the first step moves too
    return recipe.lr * min(rising, (1 - progress) / (1 - recipe.warmup))
