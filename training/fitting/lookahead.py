"""Lookahead: the network follows a slower average of itself (Zhang et al. 2019, with airbench's schedule)."""

import torch
from torch import Tensor, nn

MEETING_STEPS = 5  # steps between two meetings of the network and its average
MAX_DECAY = 0.95**MEETING_STEPS  # of the average, reached with the cube of progress: the early ones are forgotten


class Lookahead:
    """A slow copy of every weight and running statistic; at each meeting the network continues from it."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.slow = {name: value.clone() for name, value in _floats(network).items()}

    @torch.no_grad()
    def meet(self, progress: float) -> None:
        """Move the average towards the network and the network onto the average; ``progress`` of the run is 0..1."""
        for name, fast in _floats(self.network).items():
            self.slow[name].lerp_(fast, 1 - MAX_DECAY * progress**3)
            fast.copy_(self.slow[name])


def _floats(network: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
