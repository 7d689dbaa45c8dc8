"""Optimizers, and learning rates as functions of progress.

A resumed run therefore needs no scheduler state.
"""

import math
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from training.fitting.muon import Muon, hidden_weights
from training.recipes.recipe import Recipe

INITIAL_DIVISOR, FINAL_DIVISOR = 25, 25e4  # divisors of the peak rate, as in torch's OneCycleLR
PLATEAU_PATIENCE = 2  # epochs without a lower loss before the rate is reduced


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Create the recipe's optimizer.

    Batch norm biases may have a higher rate, but the same decay per step.
    """
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
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]


def learning_rate(recipe: Recipe, progress: float, val_losses: tuple[float, ...] = ()) -> float:
    """Return the learning rate of the next step.

    Args:
        recipe: sets the schedule. `triangular` rises to the peak and falls to 0; `one-cycle` does so along cosines,
            from a 25th of the peak (both Smith and Topin 2018); `plateau` divides the rate by 10 on a plateau.
        progress: fraction of the run that is done, 0..1.
        val_losses: of the epochs so far, to detect a plateau.
    """
    match recipe.schedule:
        case "constant":
            return recipe.lr
        case "plateau":
            return _plateau_rate(recipe.lr, val_losses)
        case "one-cycle":
            rises = progress < recipe.warmup
            fraction = progress / recipe.warmup if rises else (progress - recipe.warmup) / (1 - recipe.warmup)
            start, end = (recipe.lr / INITIAL_DIVISOR, recipe.lr) if rises else (recipe.lr, recipe.lr / FINAL_DIVISOR)
            return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
        case "triangular":
            rising = (progress + 1e-3) / (recipe.warmup + 1e-3)  # the first step has a rate above 0
            return recipe.lr * min(rising, (1 - progress) / (1 - recipe.warmup))


@lru_cache(maxsize=1)  # the steps of an epoch have equal arguments
def _plateau_rate(lr: float, val_losses: tuple[float, ...]) -> float:
    """Replay all epochs in torch's scheduler; no scheduler state must be saved."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=PLATEAU_PATIENCE)
    for loss in val_losses:
        scheduler.step(loss)
    return float(optimizer.param_groups[0]["lr"])


def _group(parameters: list[nn.Parameter], lr_factor: float, weight_decay: float) -> dict[str, Any]:
    return {"params": parameters, "lr_factor": lr_factor, "weight_decay": weight_decay / lr_factor}
