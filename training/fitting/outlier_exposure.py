"""Images that belong to no class, made of a batch's own: what a network shall not be sure of must be shown to it.

Outlier exposure (Hendrycks et al. 2019): which class they resemble, a teacher says, as a turned 8 is still an 8; that
they are none of the training images, the size of the logits learns. Nothing is drawn or taken from another data set,
so that letters, symbols and scribbles stay what the network never saw.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.data.augmentation import Augmentation

BORDER = 5.0  # energy of logits between outliers and the rest
CUTS = 0.4, 0.6  # of a side: where the quarters meet
DISTORTION = Augmentation(degrees=180, scale=0.5, shear=0.4, translate=3, elastic=4)  # that no digit survives
OVERLAP = 8  # pixels that an image laid over another is moved by at most
OFF_CENTRE = 5  # pixels between the middle and the line behind which an image is erased, at most


def exposure_loss(logits: Tensor, *, known: int) -> Tensor:
    """Return how badly the energy of the logits (Liu et al. 2020) tells a batch's own images from its outliers.

    Softmax leaves open by what constant all logits of an image differ from another's; this settles it, so that a large
    logit means a familiar image.

    Args:
        logits: (M, K) float32.
        known: how many of the images, the first, are no outliers.
    """
    energies = logits.logsumexp(dim=1) - BORDER
    belongs = (torch.arange(len(logits), device=logits.device) < known).float()
    return functional.binary_cross_entropy_with_logits(energies, belongs)


def outliers_of(images: Tensor) -> Tensor:
    """Return as many images, six tenths turned, one each put together, distorted, laid over each other, and cut off.

    Turned, a digit keeps its strokes, and is nearest to what else is written and printed: a mirrored 2 is an S.

    Shape: (N, S, S), 0..255 -> the same; it draws from torch's own generator.
    """
    makers = [_turned] * 6 + [_put_together, _distorted, _laid_over, _cut_off]
    parts = torch.tensor_split(images, len(makers))
    return torch.cat([make(part, images) for make, part in zip(makers, parts, strict=True) if len(part)])


def _turned(images: Tensor, _all: Tensor) -> Tensor:
    """Give each image one of the seven other orientations of a square."""
    parts = []
    for orientation, part in enumerate(images.tensor_split(7), start=1):
        mirrored = part.flip(2) if orientation >= 4 else part
        parts.append(mirrored.rot90(orientation % 4, (1, 2)))
    return torch.cat(parts)


def _put_together(images: Tensor, others: Tensor) -> Tensor:
    """Lay quarters of four images, drawn at random, side by side in their places."""
    count, side, device = len(images), images.shape[-1], images.device
    first, last = (round(cut * side) for cut in CUTS)
    down, across = torch.randint(first, last + 1, (2, count, 1, 1), device=device)
    top = torch.arange(side, device=device)[:, None] < down
    left = torch.arange(side, device=device) < across
    upper_left, upper_right, lower_left, lower_right = (_drawn(others, count) for _ in range(4))
    upper, lower = torch.where(left, upper_left, upper_right), torch.where(left, lower_left, lower_right)
    return torch.where(top, upper, lower)


def _distorted(images: Tensor, _all: Tensor) -> Tensor:
    return DISTORTION(images, mirrored=torch.zeros(len(images), dtype=torch.bool, device=images.device))


def _laid_over(images: Tensor, others: Tensor) -> Tensor:
    """Draw another image, moved, over each."""
    down, across = torch.randint(-OVERLAP, OVERLAP + 1, (2,)).tolist()
    return torch.maximum(images, _drawn(others, len(images)).roll((down, across), (1, 2)))


def _cut_off(images: Tensor, _all: Tensor) -> Tensor:
    """Erase what lies behind a line near the middle, at any angle."""
    count, side, device = len(images), images.shape[-1], images.device
    angles = torch.rand(count, 1, 1, device=device) * 2 * math.pi
    offsets = (torch.rand(count, 1, 1, device=device) * 2 - 1) * OFF_CENTRE
    places = torch.arange(side, device=device) - (side - 1) / 2
    distances = places * angles.cos() + places[:, None] * angles.sin()  # (N, S, S)
    return images * (distances < offsets)


def _drawn(images: Tensor, count: int) -> Tensor:
    return images[torch.randint(len(images), (count,), device=images.device)]
