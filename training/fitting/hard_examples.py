"""Which images of a batch are worth a step of the large network: the hardest, as a small one trained beside it sees."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.device import mixed_precision
from training.fitting.optimizers import make_optimizer, set_learning_rate
from training.recipes.recipe import Recipe

TRAINED_EVERY = 4  # batches; the small network need not learn from each


class HardestImages:
    """Choose by the loss of a small network, as airbench96 does (Jordan 2024): half the images, nearly all the gain."""

    def __init__(self, network: nn.Module, recipe: Recipe, *, device: torch.device) -> None:
        self.network, self.recipe, self.device = network.to(device), recipe, device
        self.optimizer = make_optimizer(network, recipe)
        self.network.train()

    def choose(self, images: Tensor, labels: Tensor, *, step: int, lr: float) -> Tensor:
        """Return the rows of the hardest images of a batch; every fourth step the small network learns from them.

        Args:
            images: (N, ...) as the networks take them, augmented.
            labels: (N,) class ids.
            step: of the epoch.
            lr: learning rate of this step.
        """
        learns = step % TRAINED_EVERY == 0
        with torch.set_grad_enabled(learns):
            with mixed_precision(self.device, enabled=self.recipe.mixed_precision):
                logits = self.network(images).float()
            smoothing = self.recipe.label_smoothing
            losses = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
            rows = losses.detach().topk(max(1, round(len(labels) * self.recipe.hardest))).indices
            if learns:
                set_learning_rate(self.optimizer, lr)
                self.optimizer.zero_grad()
                torch.autograd.backward(losses[rows].mean())
                self.optimizer.step()
        return rows

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` takes up."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the state was taken."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
