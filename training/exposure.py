"""Images that belong to no class, made of a batch's own: what a network shall not be sure of must be shown to it.

Outlier exposure (Hendrycks et al. 2019), with a teacher's probabilities for targets instead of uniform ones: a turned 8
is still an 8, and two halves may well make a digit. Nothing is drawn or taken from another data set, so that letters,
symbols and scribbles stay what the network never saw.
"""

import torch
from torch import Tensor

CUTS = 0.4, 0.6  # of a side: where the quarters meet


def outliers_of(images: Tensor) -> Tensor:
    """Return as many images, half of them turned or mirrored, half put together from quarters of four.

    Shape: (N, S, S), 0..255 -> the same; it draws from torch's own generator.
    """
    half = len(images) // 2
    return torch.cat([_turned(images[:half]), _put_together(images, len(images) - half)])


def _turned(images: Tensor) -> Tensor:
    """Give each image one of the seven other orientations of a square."""
    parts = []
    for orientation, part in enumerate(images.chunk(7), start=1):
        mirrored = part.flip(2) if orientation >= 4 else part
        parts.append(mirrored.rot90(orientation % 4, (1, 2)))
    return torch.cat(parts)


def _put_together(images: Tensor, count: int) -> Tensor:
    """Lay quarters of four images, drawn at random, side by side in their places."""
    side, device = images.shape[-1], images.device
    first, last = (round(cut * side) for cut in CUTS)
    down, across = torch.randint(first, last + 1, (2, count, 1, 1), device=device)
    top = torch.arange(side, device=device)[:, None] < down
    left = torch.arange(side, device=device) < across
    quarters = (images[torch.randint(len(images), (count,), device=device)] for _ in range(4))
    upper_left, upper_right, lower_left, lower_right = quarters
    upper, lower = torch.where(left, upper_left, upper_right), torch.where(left, lower_left, lower_right)
    return torch.where(top, upper, lower)
