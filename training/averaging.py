"""Lookahead: the network follows a slower average of itself (Zhang et al. 2019, with airbench's schedule)."""

import torch
from torch import nn

MEETING_STEPS = 5  # steps between two meetings of the network and its average
MAX_DECAY = 0.95**MEETING_STEPS  # of the average, reached with the cube of progress: the early ones are forgotten


class Lookahead:
    """A slow copy of what is trained; at each meeting the network continues from it."""

    def __init__(self, network: nn.Module) -> None:
        self.fast = {name: weights for name, weights in network.named_parameters() if weights.requires_grad}
        self.slow = {name: weights.detach().clone() for name, weights in self.fast.items()}

    @torch.no_grad()
    def meet(self, progress: float) -> None:
        """Move the average towards the network and the network onto the average; ``progress`` of the run is 0..1."""
        for name, weights in self.fast.items():
            self.slow[name].lerp_(weights, 1 - MAX_DECAY * progress**3)
            weights.copy_(self.slow[name])
