"""Outlier exposure (Hendrycks et al. 2019) with outliers made of a batch.

A teacher predicts the class of each outlier, as a rotated 8 is still an 8. The size of the logits learns to separate
outliers from training images. Outliers use no other data set, so letters, symbols and scribbles remain unseen in
training.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.data.augmentation import Augmentation

ENERGY_THRESHOLD = 5.0  # energy of logits that separates outliers from training images
CUT_RANGE = 0.4, 0.6  # range of the position where the quarters meet, as fractions of the side
DISTORTION = Augmentation(degrees=180, scale=0.5, shear=0.4, translate=3, elastic=4)  # no digit stays recognizable
MAX_OVERLAY_SHIFT = 8  # largest move of an overlaid image, in pixels
MAX_CUT_OFFSET = 5  # largest distance between the centre and the cutting line, in pixels


def exposure_loss(logits: Tensor, *, num_inliers: int) -> Tensor:
    """Return the cross-entropy of the energy (Liu et al. 2020) as outlier detector.

    Softmax does not depend on a constant added to all logits of an image. This loss determines the constant, so that a
    large logit means a familiar image.

    Args:
        logits: (M, K) float32, the training images first.
        num_inliers: number of training images.
    """
    energies = logits.logsumexp(dim=1) - ENERGY_THRESHOLD
    is_inlier = (torch.arange(len(logits), device=logits.device) < num_inliers).float()
    return functional.binary_cross_entropy_with_logits(energies, is_inlier)


def make_outliers(images: Tensor) -> Tensor:
    """Return N outliers made of the images.

    60 % are rotated or mirrored, 10 % each are composed, distorted, overlaid and cut off.

    A rotated digit keeps its strokes, and is closest to other written and printed signs: a mirrored 2 looks like an S.

    Shape: (N, S, S), 0..255 -> the same. Random numbers come from torch's global generator.
    """
    makers = [_reorient] * 6 + [_compose, _distort, _overlay, _cut_off]
    parts = torch.tensor_split(images, len(makers))
    return torch.cat([make(part, images) for make, part in zip(makers, parts, strict=True) if len(part)])


def _reorient(images: Tensor, _all: Tensor) -> Tensor:
    """Give each image one of the seven other orientations of a square."""
    parts = []
    for orientation, part in enumerate(images.tensor_split(7), start=1):
        mirrored = part.flip(2) if orientation >= 4 else part
        parts.append(mirrored.rot90(orientation % 4, (1, 2)))
    return torch.cat(parts)


def _compose(images: Tensor, others: Tensor) -> Tensor:
    """Compose each image of quarters of four random images, at their positions."""
    count, side, device = len(images), images.shape[-1], images.device
    first, last = (round(cut * side) for cut in CUT_RANGE)
    down, across = torch.randint(first, last + 1, (2, count, 1, 1), device=device)
    top = torch.arange(side, device=device)[:, None] < down
    left = torch.arange(side, device=device) < across
    upper_left, upper_right, lower_left, lower_right = (_sample(others, count) for _ in range(4))
    upper, lower = torch.where(left, upper_left, upper_right), torch.where(left, lower_left, lower_right)
    return torch.where(top, upper, lower)


def _distort(images: Tensor, _all: Tensor) -> Tensor:
    return DISTORTION(images, mirrored=torch.zeros(len(images), dtype=torch.bool, device=images.device))


def _overlay(images: Tensor, others: Tensor) -> Tensor:
    """Overlay each image with a random one, moved."""
    down, across = torch.randint(-MAX_OVERLAY_SHIFT, MAX_OVERLAY_SHIFT + 1, (2,)).tolist()
    return torch.maximum(images, _sample(others, len(images)).roll((down, across), (1, 2)))


def _cut_off(images: Tensor, _all: Tensor) -> Tensor:
    """Erase one side of a line near the centre, at a random angle."""
    count, side, device = len(images), images.shape[-1], images.device
    angles = torch.rand(count, 1, 1, device=device) * 2 * math.pi
    offsets = (torch.rand(count, 1, 1, device=device) * 2 - 1) * MAX_CUT_OFFSET
    places = torch.arange(side, device=device) - (side - 1) / 2
    distances = places * angles.cos() + places[:, None] * angles.sin()  # (N, S, S)
    return images * (distances < offsets)


def _sample(images: Tensor, count: int) -> Tensor:
    return images[torch.randint(len(images), (count,), device=images.device)]
