"""Corruptions: functions from a batch of test images to the corrupted batch, and what several of them share.

photo_corruptions.py takes CIFAR-10 images, (N, 32, 32, 3); digit_corruptions.py takes MNIST images, (N, 28, 28). Values
are floats in 0..1; results may lie outside and are then clipped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Random = np.random.Generator
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """A corruption, and the constants of each of its severities, the mildest first."""

    function: Callable[..., Values]  # (images, random, *constants) -> images
    severities: Sequence[tuple[float, ...]]


Corruptions = Mapping[str, Corruption]


def gaussian_noise(images: Values, random: Random, sigma: float) -> Values:
    """Add Gaussian noise of standard deviation ``sigma``."""
    return images + random.normal(scale=sigma, size=images.shape)


def shot_noise(images: Values, random: Random, photons: float) -> Values:
    """Draw each value from a Poisson distribution; white has ``photons`` on average."""
    return random.poisson(images * photons) / photons


def impulse_noise(images: Values, random: Random, share: float) -> Values:
    """Set a share of the values to black or white."""
    draws = random.random(images.shape)
    return np.where(draws < share / 2, 0.0, np.where(draws < share, 1.0, images))


def blur(images: Values, sigma: float) -> Values:
    """Blur each image with a Gaussian filter of ``sigma`` pixels."""
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0)[: images.ndim], mode="nearest")


def shuffle_pixels(images: Values, random: Random, reach: int, *, share: float, swap: bool) -> Values:
    """Replace pixels, one after another, by one at most ``reach`` pixels above and to the left, or less below.

    Args:
        images: the batch.
        random: the generator.
        reach: largest distance along each axis, in pixels.
        share: of the pixels, 0..1.
        swap: give the other pixel the value of the first.
    """
    images, everyone, side = images.copy(), np.arange(len(images)), images.shape[1]
    for row in range(side - reach, reach, -1):
        for column in range(side - reach, reach, -1):
            moves = random.integers(-reach, reach, (2, len(images))) * (random.random(len(images)) < share)
            found = everyone, row + moves[0], column + moves[1]
            values = images[found]
            if swap:
                images[found] = images[:, row, column]
            images[:, row, column] = values
    return images


def glass_blur(images: Values, random: Random, sigma: float, rounds: int, *, share: float, swap: bool) -> Values:
    """Shuffle neighbouring pixels between two blurs; ``share`` and ``swap``: see :func:`shuffle_pixels`."""
    images = np.floor(blur(images, sigma) * 255) / 255
    for _ in range(rounds):
        images = shuffle_pixels(images, random, 1, share=share, swap=swap)
    return blur(images, sigma)


def motion(images: Values, random: Random, radius: int, sigma: float) -> Values:
    """Blur along a line, at most 45 degrees from the horizontal."""
    return motion_blur(images, random.uniform(-45, 45, len(images)), radius, sigma)


def motion_blur(images: Values, angles: Values, radius: int, sigma: float) -> Values:
    """Blur each image along a line, as ImageMagick does: one half of a Gaussian of 2 * radius + 1 pixels.

    Args:
        images: (N, H, W) or (N, H, W, C).
        angles: (N,) degrees; positive angles point to the lower right.
        radius: in pixels.
        sigma: standard deviation in pixels.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    height, width = images.shape[1:3]
    everyone, out = np.arange(len(images))[:, None, None], np.zeros_like(images)
    for step, weight in zip(steps, weights, strict=True):
        right, down = (np.ceil(step * turn(np.radians(angles)) - 0.5).astype(int) for turn in (np.cos, np.sin))
        rows = np.clip(np.arange(height) + down[:, None], 0, height - 1)
        columns = np.clip(np.arange(width) + right[:, None], 0, width - 1)
        out += weight * images[everyone, rows[:, :, None], columns[:, None, :]]
    return out


def plasma(random: Random, count: int, side: int, decay: float) -> Values:
    """Draw fractal height maps by the diamond-square algorithm.

    Args:
        random: the generator.
        count: N.
        side: of a map, a power of two.
        decay: the amplitude falls by its square per level; small values give rough maps.

    Returns:
        (N, side, side), each map from 0 to 1.
    """
    heights = np.zeros((count, side, side))
    step, amplitude = side, 1.0

    def middle(total: Values) -> Values:
        return total / 4 + amplitude * random.uniform(-1, 1, total.shape)

    while step >= 2:
        half = step // 2
        corners = heights[:, ::step, ::step]
        across, down = (corners + np.roll(corners, -1, axis) for axis in (2, 1))
        centres = middle(across + np.roll(across, -1, 1))
        heights[:, half::step, half::step] = centres
        heights[:, ::step, half::step] = middle(across + centres + np.roll(centres, 1, 1))
        heights[:, half::step, ::step] = middle(down + centres + np.roll(centres, 1, 2))
        step, amplitude = half, amplitude / decay**2
    heights -= heights.min(axis=(1, 2), keepdims=True)
    return heights / heights.max(axis=(1, 2), keepdims=True)


def add_fog(images: Values, fog: Values, density: float) -> Values:
    """Add ``density`` times the fog, (N, H, W), and keep the brightest value of each image."""
    axes = tuple(range(1, images.ndim))
    brightest = images.max(axis=axes, keepdims=True)
    fog = fog[:, : images.shape[1], : images.shape[2]].reshape(*images.shape[:3], *[1] * (images.ndim - 3))
    return (images + density * fog) * brightest / (brightest + density)
