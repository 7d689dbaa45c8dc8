"""Initialization of convolutional networks with whitening and identity filters."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.architectures import ChannelsFirst, PixelNormalizer

NUM_WHITENING_IMAGES = 2000  # have two million patches, enough for the covariance


@torch.no_grad()
def initialize(network: nn.Sequential, images: Tensor, *, epsilon: float) -> None:
    """Whiten the first convolution and set the others to identities.

    An MLP stays unchanged.

    Args:
        network: from :mod:`training.networks.architectures`.
        images: training images, uint8 (N, H, W, 3).
        epsilon: limits the amplification of the whitening, see :func:`whiten`.
    """
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    if not convolutions:
        return
    normalizer = next(layer for layer in network if isinstance(layer, PixelNormalizer))
    whiten(convolutions[0], ChannelsFirst()(normalizer(images[:NUM_WHITENING_IMAGES])), epsilon=epsilon)
    for convolution in convolutions[1:]:
        nn.init.dirac_(convolution.weight[: convolution.in_channels])


@torch.no_grad()
def whiten(convolution: nn.Conv2d, images: Tensor, *, epsilon: float) -> None:
    """Set the filters to whitened eigenvectors of image patches, and freeze them.

    The second half of the filters are the negatives of the first.

    Method of airbench (Jordan 2024): the outputs are decorrelated and have equal variance.

    Args:
        convolution: has twice as many filters as a patch has values.
        images: (N, C, H, W), normalized.
        epsilon: added to the variances; limits the amplification of directions with little variance, and of noise.
    """
    patches = functional.unfold(images, convolution.kernel_size).transpose(1, 2).flatten(end_dim=1)  # (patches, values)
    covariance = patches.T @ patches / len(patches)
    variances, directions = torch.linalg.eigh(covariance.double())
    filters = (directions / (variances + epsilon).sqrt()).T.reshape(-1, *convolution.weight.shape[1:])
    convolution.weight.copy_(torch.cat([filters, -filters]))
    convolution.weight.requires_grad = False
