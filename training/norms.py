"""Batch norm's statistics, taken anew: what it saw while training may not be what it will see."""

import torch
from torch import Tensor, nn

BATCH_SIZE = 1024
NUM_IMAGES = 4096


@torch.no_grad()
def recalibrate_norms(network: nn.Module, images: Tensor) -> None:
    """Replace running means and variances by those of the images, as they are (Wu and Johnson 2021).

    Args:
        network: is left in training mode; a network without batch norm stays as it is.
        images: uint8 (N, ...) as the network takes them; the first 4,096 are used.
    """
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    for batch in torch.split(images[:NUM_IMAGES], BATCH_SIZE):
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
