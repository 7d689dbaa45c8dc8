"""Selection of the hardest images of a batch by a small network."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.device import mixed_precision
from training.fitting.optimizers import make_optimizer, set_learning_rate
from training.recipes.recipe import Recipe

TRAINING_INTERVAL = 4  # batches; fewer steps of the small network are enough


class HardExampleSelector:
    """Selector by the loss of a small network, as in airbench96 (Jordan 2024).

    Half of the images give nearly all of the benefit.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, *, device: torch.device) -> None:
        self.network, self.recipe, self.device = network.to(device), recipe, device
        self.optimizer = make_optimizer(network, recipe)
        self.network.train()

    def select(self, images: Tensor, labels: Tensor, *, step: int, lr: float) -> Tensor:
        """Return the indices of the hardest images of a batch.

        At every fourth step, the small network is trained on them.

        Args:
            images: (N, ...), augmented, in the input shape of the networks.
            labels: (N,) class ids.
            step: number of the step in its epoch.
            lr: learning rate of this step.
        """
        trains = step % TRAINING_INTERVAL == 0
        with torch.set_grad_enabled(trains):
            with mixed_precision(self.device, enabled=self.recipe.mixed_precision):
                logits = self.network(images).float()
            smoothing = self.recipe.label_smoothing
            losses = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
            rows = losses.detach().topk(max(1, round(len(labels) * self.recipe.hardest))).indices
            if trains:
                set_learning_rate(self.optimizer, lr)
                self.optimizer.zero_grad()
                torch.autograd.backward(losses[rows].mean())
                self.optimizer.step()
        return rows

    def state_dict(self) -> dict[str, Any]:
        """Return the state for :meth:`load_state_dict`."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
