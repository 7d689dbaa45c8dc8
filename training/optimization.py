"""Optimisers by name, and the learning rate by progress alone, so that a resumed run needs no scheduler."""

from typing import Any

import torch
from torch import nn

from training.muon import Muon, hidden_weights
from training.recipes import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Create the recipe's optimiser; biases of norms may learn faster, and are decayed no faster than the rest."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    biases = {norm.bias for norm in norms}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        _group([parameter for parameter in trained if parameter not in biases], 1.0, recipe.weight_decay),
        _group([parameter for parameter in trained if parameter in biases], recipe.bias_lr_factor, recipe.weight_decay),
    ]
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=True)
        case "adam":
            return torch.optim.Adam(groups, lr=recipe.lr, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
        case "muon":
            return Muon(groups, hidden_weights(network), lr=recipe.lr, momentum=recipe.momentum)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the rate after ``progress`` of the run, 0..1; a triangle rises to the peak and falls to nothing."""
    if recipe.schedule == "constant":
        return recipe.lr
    rising = (progress + 1e-3) / (recipe.warmup + 1e-3)  # the first step moves too
    return recipe.lr * min(rising, (1 - progress) / (1 - recipe.warmup))


def _group(parameters: list[nn.Parameter], lr_factor: float, weight_decay: float) -> dict[str, Any]:
    return {"params": parameters, "lr_factor": lr_factor, "weight_decay": weight_decay / lr_factor}
