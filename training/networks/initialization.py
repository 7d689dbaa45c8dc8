"""Where a convolutional network starts: closer to its goal than random weights are."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.architectures import ChannelsFirst, PixelNormalizer

NUM_IMAGES = 2000  # whose patches, two million, are enough to whiten by


@torch.no_grad()
def initialize(network: nn.Sequential, images: Tensor) -> None:
    """Whiten the first convolution by ``images`` and let the others begin as identities; an MLP stays as it is.

    Args:
        network: of :mod:`training.networks.architectures`.
        images: training images, uint8 (N, H, W, 3).
    """
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    if not convolutions:
        return
    normalizer = next(layer for layer in network if isinstance(layer, PixelNormalizer))
    whiten(convolutions[0], ChannelsFirst()(normalizer(images[:NUM_IMAGES])))
    for convolution in convolutions[1:]:
        nn.init.dirac_(convolution.weight[: convolution.in_channels])


@torch.no_grad()
def whiten(convolution: nn.Conv2d, images: Tensor, *, epsilon: float = 5e-4) -> None:
    """Set the filters to the whitened eigenvectors of the images' patches and their negatives, and freeze them.

    From airbench (Jordan 2024): what it sees next is decorrelated and of equal variance.

    Args:
        convolution: with twice as many filters as a patch has values.
        images: (N, C, H, W) normalized.
        epsilon: keeps directions that hardly vary from being blown up to noise.
    """
    patches = functional.unfold(images, convolution.kernel_size).transpose(1, 2).flatten(end_dim=1)  # (patches, values)
    covariance = patches.T @ patches / len(patches)
    variances, directions = torch.linalg.eigh(covariance.double())
    filters = (directions / (variances + epsilon).sqrt()).T.reshape(-1, *convolution.weight.shape[1:])
    convolution.weight.copy_(torch.cat([filters, -filters]))
    convolution.weight.requires_grad = False
