"""Lookahead (Zhang et al. 2019, with airbench's schedule)."""

import torch
from torch import Tensor, nn

SYNC_INTERVAL = 5  # steps between two synchronizations of the network and its average
MAX_DECAY = 0.95**SYNC_INTERVAL  # at the end; grows with the cube of progress, so that early weights are forgotten


class Lookahead:
    """Slow average of every weight and running statistic.

    The network regularly continues from it.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.slow = {name: value.clone() for name, value in _floats(network).items()}

    @torch.no_grad()
    def synchronize(self, progress: float) -> None:
        """Update the average from the network and copy it back.

        ``progress`` of the run is 0..1.
        """
        for name, fast in _floats(self.network).items():
            self.slow[name].lerp_(fast, 1 - MAX_DECAY * progress**3)
            fast.copy_(self.slow[name])


def _floats(network: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
