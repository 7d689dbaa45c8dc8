"""Random augmentation of raw pixels, as tensor operations on the training device.

Each function takes images of shape (N, H, W) or (N, H, W, C), values 0..255, and returns the same shape and range.
Random numbers come from torch's global generator, which each epoch seeds.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Limits of the random changes to training images; none by default."""

    flip: bool = False  # mirror half of the images, and the other half in the next epoch (Jordan 2024)
    shift: int = 0  # largest move along each axis, in pixels; edges are reflected
    cutout: int = 0  # side of a grey square, in pixels (DeVries and Taylor 2017)
    degrees: float = 0.0  # largest rotation, in either direction
    scale: float = 0.0  # 0.1 means 90 % to 110 %, independently per axis
    shear: float = 0.0  # pixels per pixel
    translate: float = 0.0  # largest move along each axis, in pixels; edges are black
    elastic: float = 0.0  # standard deviation of a smooth random field, in pixels (1.4 in Simard et al. 2003)
    noise: float = 0.0  # largest standard deviation of Gaussian noise on half of the images, of 255

    def __call__(self, images: Tensor, *, mirrored: Tensor) -> Tensor:
        """Augment each image independently; ``mirrored``, (N,) bool, selects flips."""
        if self.flip or self.shift:
            images = flip_and_shift(images, mirrored=mirrored & self.flip, shift=self.shift)
        if self.degrees or self.scale or self.shear or self.translate or self.elastic:
            images = self._warp(images)
        if self.cutout:
            images = cut_out(images, size=self.cutout)
        if self.noise:
            images = add_noise(images, limit=self.noise)
        return images

    def _warp(self, images: Tensor) -> Tensor:
        return warp(
            images,
            angles=_uniform(images, math.radians(self.degrees)),
            scales=1 + torch.stack([_uniform(images, self.scale), _uniform(images, self.scale)], dim=1),
            shears=_uniform(images, self.shear),
            translations=torch.stack([_uniform(images, self.translate), _uniform(images, self.translate)], dim=1),
            displacements=smooth_field(images) * self.elastic if self.elastic else None,
        )


def flip_and_shift(images: Tensor, *, mirrored: Tensor, shift: int) -> Tensor:
    """Mirror the images selected by ``mirrored`` (N,) and shift each randomly.

    Each moves by up to ``shift`` pixels along each axis; the dtype is kept.
    """
    n, height, width = images.shape[:3]
    device = images.device
    moves = torch.randint(-shift, shift + 1, (2, n, 1), device=device)
    rows = _reflect_index(torch.arange(height, device=device) + moves[0], height)  # (N, H)
    columns = _reflect_index(torch.arange(width, device=device) + moves[1], width)  # (N, W)
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    return images[torch.arange(n, device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]


def cut_out(images: Tensor, *, size: int) -> Tensor:
    """Paint a square of side ``size`` grey (128) at a random position.

    Part of the square may be outside the image.
    """
    n, height, width = images.shape[:3]
    rows = _is_within(torch.randint(height, (n, 1), device=images.device), height, size)  # (N, H)
    columns = _is_within(torch.randint(width, (n, 1), device=images.device), width, size)  # (N, W)
    square = rows[:, :, None] & columns[:, None, :]  # (N, H, W)
    return images.masked_fill(square if images.ndim == 3 else square[..., None], 128)


def add_noise(images: Tensor, *, limit: float) -> Tensor:
    """Add Gaussian noise to a random half of the images; the result is float32.

    The standard deviation is the same for all pixels of an image, and uniform between 0 and ``limit`` of 255.
    """
    half = torch.randperm(len(images), device=images.device)[: len(images) // 2]
    noisy = images.to(torch.float32, copy=True)
    strengths = torch.rand((len(half), *[1] * (images.ndim - 1)), device=images.device) * limit
    noisy[half] = (noisy[half] + torch.randn_like(noisy[half]) * strengths).clamp(0, 255)
    return noisy


def warp(
    images: Tensor,
    *,
    angles: Tensor,
    scales: Tensor,
    shears: Tensor,
    translations: Tensor,
    displacements: Tensor | None = None,
) -> Tensor:
    """Rotate, scale, shear, move and bend grey images.

    Shape: (N, H, W), any dtype -> the same shape, float32; pixels from outside are black.

    Args:
        images: the batch.
        angles: (N,) radians.
        scales: (N, 2) factors, horizontal and vertical.
        shears: (N,) horizontal pixels per vertical pixel.
        translations: (N, 2) pixels, right and down.
        displacements: (N, H, W, 2) pixels, right and down, added to the position that each pixel is sampled from.
    """
    height, width = images.shape[1:]
    cosines, sines = angles.cos(), angles.sin()
    across = torch.stack([cosines, shears * cosines - sines], dim=1) / scales[:, :1]
    down = torch.stack([sines, shears * sines + cosines], dim=1) / scales[:, 1:]
    pixel = 2 / torch.tensor([width, height], device=images.device)  # the grid runs from -1 to 1
    matrices = torch.cat([torch.stack([across, down], dim=1), -(translations * pixel)[:, :, None]], dim=2)  # (N, 2, 3)
    grid = functional.affine_grid(matrices, [len(images), 1, height, width], align_corners=False)
    if displacements is not None:
        grid = grid + displacements * pixel
    moved = functional.grid_sample(images[:, None].float(), grid, mode="bicubic", align_corners=False)[:, 0]
    return moved.clamp(0, 255)  # bicubic sampling keeps strokes sharp but overshoots next to them


def smooth_field(images: Tensor, *, sigma: float = 4.0) -> Tensor:
    """Draw Gaussian-smoothed noise of unit variance: (N, H, W, 2) pixels.

    The method is from Simard et al. (2003).

    Only the principal components are drawn, which is four times as fast; the rest has 0.01 % of the variance.
    """
    n, height, width = images.shape
    down, across = (_principal_components(size, sigma).to(images.device) for size in (height, width))
    noise = torch.randn((n, 2, down.shape[1], across.shape[1]), device=images.device)
    return (down @ noise @ across.T).permute(0, 2, 3, 1)


@functools.cache
def _principal_components(size: int, sigma: float) -> Tensor:
    """Return a (size, R) matrix from R independent numbers to a smooth vector.

    Each value of the vector has unit variance.
    """
    positions = torch.arange(size, dtype=torch.float64)
    gaussian = (-0.5 * ((positions[:, None] - positions) / sigma) ** 2).exp()
    directions, scales, _ = torch.linalg.svd(functional.normalize(gaussian, dim=1))
    kept = 1 + int((scales.square().cumsum(0) < 0.9999 * scales.square().sum()).sum())
    return functional.normalize((directions * scales)[:, :kept], dim=1).float()


def _uniform(images: Tensor, limit: float) -> Tensor:
    """Draw (N,) numbers between -limit and limit."""
    return (torch.rand(len(images), device=images.device) * 2 - 1) * limit


def _reflect_index(index: Tensor, size: int) -> Tensor:
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _is_within(centre: Tensor, length: int, size: int) -> Tensor:
    offset = torch.arange(length, device=centre.device) - centre + size // 2
    return (offset >= 0) & (offset < size)
