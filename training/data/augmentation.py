"""Random changes to a batch of raw pixels, as tensor operations on the device that trains.

Each takes images of shape (N, H, W) or (N, H, W, C), values 0..255, and returns the same shape and range. They draw
from torch's own generator, so that the seed of an epoch decides them.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far the training images may be moved; nothing at all by default."""

    flip: bool = False  # mirror half of the images, the other half in the next epoch (Jordan 2024)
    shift: int = 0  # pixels at most along each axis, edges reflected
    cutout: int = 0  # side of the square painted grey (DeVries and Taylor 2017)
    degrees: float = 0.0  # of rotation at most, either way
    scale: float = 0.0  # 0.1 is from 90 % to 110 %, each axis its own
    shear: float = 0.0  # pixels a pixel
    translate: float = 0.0  # pixels at most along each axis, edges black
    elastic: float = 0.0  # pixels, standard deviation of a smooth random field (Simard et al. 2003 had 1.4)

    def __call__(self, images: Tensor, *, mirrored: Tensor) -> Tensor:
        """Change every image of a batch in its own way; ``mirrored``, (N,) bool, says which a flip shall mirror."""
        if self.flip or self.shift:
            images = flip_and_shift(images, mirrored=mirrored & self.flip, shift=self.shift)
        if self.degrees or self.scale or self.shear or self.translate or self.elastic:
            images = self._warp(images)
        if self.cutout:
            images = cut_out(images, size=self.cutout)
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
    """Mirror the images that ``mirrored`` (N,) names and move each by up to ``shift`` pixels; dtype is kept."""
    n, height, width = images.shape[:3]
    device = images.device
    moves = torch.randint(-shift, shift + 1, (2, n, 1), device=device)
    rows = _reflect(torch.arange(height, device=device) + moves[0], height)  # (N, H)
    columns = _reflect(torch.arange(width, device=device) + moves[1], width)  # (N, W)
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    return images[torch.arange(n, device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]


def cut_out(images: Tensor, *, size: int) -> Tensor:
    """Paint a square of ``size`` pixels, anywhere and partly outside too, in the grey of the middle."""
    n, height, width = images.shape[:3]
    rows = _within(torch.randint(height, (n, 1), device=images.device), height, size)  # (N, H)
    columns = _within(torch.randint(width, (n, 1), device=images.device), width, size)  # (N, W)
    square = rows[:, :, None] & columns[:, None, :]  # (N, H, W)
    return images.masked_fill(square if images.ndim == 3 else square[..., None], 128)


def warp(
    images: Tensor,
    *,
    angles: Tensor,
    scales: Tensor,
    shears: Tensor,
    translations: Tensor,
    displacements: Tensor | None = None,
) -> Tensor:
    """Rotate, stretch, shear, move and bend grey images: (N, H, W), any dtype -> float32, black where nothing was.

    Args:
        images: the batch.
        angles: (N,) radians.
        scales: (N, 2) factors, across and down.
        shears: (N,) pixels across a pixel down.
        translations: (N, 2) pixels, across and down.
        displacements: (N, H, W, 2) pixels, across and down, from where each pixel is taken in addition.
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
    return moved.clamp(0, 255)  # bicubic keeps the edges of strokes sharp, and overshoots beside them


def smooth_field(images: Tensor, *, sigma: float = 4.0) -> Tensor:
    """Draw white noise smoothed by a Gaussian, of unit variance: (N, H, W, 2) pixels (Simard et al. 2003).

    Only its principal components are drawn, which is four times as fast; the rest has 0.01 % of its variance.
    """
    n, height, width = images.shape
    down, across = (_components(size, sigma).to(images.device) for size in (height, width))
    noise = torch.randn((n, 2, down.shape[1], across.shape[1]), device=images.device)
    return (down @ noise @ across.T).permute(0, 2, 3, 1)


@functools.cache
def _components(size: int, sigma: float) -> Tensor:
    """(size, R) matrix that makes of R independent numbers a smooth vector of unit variance."""
    positions = torch.arange(size, dtype=torch.float64)
    gaussian = (-0.5 * ((positions[:, None] - positions) / sigma) ** 2).exp()
    directions, scales, _ = torch.linalg.svd(functional.normalize(gaussian, dim=1))
    kept = 1 + int((scales.square().cumsum(0) < 0.9999 * scales.square().sum()).sum())
    return functional.normalize((directions * scales)[:, :kept], dim=1).float()


def _uniform(images: Tensor, limit: float) -> Tensor:
    """(N,) numbers between -limit and limit."""
    return (torch.rand(len(images), device=images.device) * 2 - 1) * limit


def _reflect(index: Tensor, size: int) -> Tensor:
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _within(centre: Tensor, length: int, size: int) -> Tensor:
    offset = torch.arange(length, device=centre.device) - centre + size // 2
    return (offset >= 0) & (offset < size)
