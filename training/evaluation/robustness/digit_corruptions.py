"""The 15 corruptions of MNIST-C (Mu and Gilmer 2019), in the severity of that data set.

Affine maps are bilinear and black outside. Images are white on black, 28 x 28 pixels.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from scipy import ndimage

from training.evaluation.robustness.corruption import (
    Corruption,
    Corruptions,
    Random,
    Values,
    add_fog,
    blur,
    glass_blur,
    impulse_noise,
    motion,
    plasma,
    shot_noise,
)

SIDE, CENTRE = 28, 13.5
LOW, HIGH = 0.1, 0.2  # thresholds of Canny's method
LINE_REACH = 2.3  # pixels at which a drawn line ends
ZIGZAG = 2.0  # pixels: half of the length of a stroke, and the distance of its ends from the axis


def shear(images: Values, random: Random, radians: float) -> Values:
    """Shear to the left or right, as scikit-image did in 2019."""
    return _map(images, [[[1, -np.sin(a)], [0, np.cos(a)]] for a in radians * _signs(random, len(images))])


def scale(images: Values, _random: Random, factor: float) -> Values:
    """Scale about the centre."""
    return _map(images, [np.eye(2) / factor] * len(images))


def rotate(images: Values, random: Random, radians: float) -> Values:
    """Rotate about the centre, in either direction."""
    angles = radians * _signs(random, len(images))
    return _map(images, [[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles])


def translate(images: Values, random: Random, pixels: int) -> Values:
    """Move along both axes, each in either direction."""
    moves = pixels * np.stack([_signs(random, len(images)) for _ in range(2)], axis=1)
    return np.stack([ndimage.shift(image, move, order=1) for image, move in zip(images, moves, strict=True)])


def brightness(images: Values, _random: Random, more: float) -> Values:
    """Add to every value."""
    return images + more


def stripe(images: Values, _random: Random) -> Values:
    """Invert the left and the right quarter."""
    columns = np.arange(images.shape[2])
    return np.where((columns < 7) | (columns >= 21), 1 - images, images)


def fog(images: Values, random: Random, density: float, decay: float) -> Values:
    """Add plasma clouds, a corner of a map of 256 x 256 pixels."""
    clouds = [plasma(random, 1, 256, decay)[0, :SIDE, :SIDE] for _ in images]
    return add_fog(images, np.stack(clouds), density)


def spatter(images: Values, random: Random) -> Values:
    """Cover parts with dark grey drops."""
    drops = blur(random.normal(0.65, 0.3, images.shape), 1) > 0.65
    cover = blur(drops.astype(float), 1.5)
    cover[cover < 0.8] = 0
    return images * (1 - cover) + 63 / 255 * cover


def dotted_line(images: Values, random: Random) -> Values:
    """Draw a dotted line from the left to the right edge."""
    dots = np.arange(SIDE) // 2 % 2 == 1
    ends = random.integers(0, SIDE - 1, (len(images), 2))
    return images + np.stack([_line(0, left, SIDE - 1, right) for left, right in ends]) * dots


def zigzag(images: Values, random: Random) -> Values:
    """Draw a zigzag line."""
    return np.stack([_add_zigzag(image, random) for image in images])


def canny_edges(images: Values, _random: Random) -> Values:
    """Find edges by Canny's method (1986), with a Gaussian filter of one pixel."""
    return np.stack([_canny(image) for image in images])


def _one(function: Callable[..., Values], *constants: float) -> Corruption:
    return Corruption(function=function, severities=[constants])


DIGIT_CORRUPTIONS: Corruptions = {
    "shot noise": _one(shot_noise, 3),
    "impulse noise": _one(impulse_noise, 0.17),
    "glass blur": _one(partial(glass_blur, share=0.5, swap=True), 0.7, 2),
    "motion blur": _one(motion, 10, 3),
    "shear": _one(shear, 0.4),
    "scale": _one(scale, 0.7),
    "rotate": _one(rotate, 0.4),
    "brightness": _one(brightness, 0.5),
    "translate": _one(translate, 3),
    "stripe": _one(stripe),
    "fog": _one(fog, 3.0, 1.4),
    "spatter": _one(spatter),
    "dotted line": _one(dotted_line),
    "zigzag": _one(zigzag),
    "Canny edges": _one(canny_edges),
}


def _signs(random: Random, count: int) -> Values:
    return random.choice([-1.0, 1.0], count)


def _map(images: Values, to_source: "list[Values] | list[list[list[float]]]") -> Values:
    """Apply an affine map per image; each matrix maps (x, y) from the centre to the source."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - CENTRE
    out = []
    for image, matrix in zip(images, to_source, strict=True):
        x, y = np.tensordot(np.asarray(matrix), np.stack([columns, rows]), 1) + CENTRE
        out.append(ndimage.map_coordinates(image, [y, x], order=1, mode="grid-constant"))
    return np.stack(out)


def _line(left: float, start: float, right: float, end: float) -> Values:
    """Draw a soft line from column ``left``, row ``start``, to column ``right``, row ``end``."""
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    distances = np.abs(rows - (start + (end - start) / (right - left) * (columns - left)))
    shade = (np.log(1 - np.minimum(distances, LINE_REACH - 1e-10) / LINE_REACH) + 1).clip(0, 1)
    return np.where((columns >= np.floor(left)) & (columns < np.ceil(right)), shade, 0)


def _add_zigzag(image: Values, random: Random) -> Values:
    left, right = 2, 25
    start = random.integers(0, SIDE - 1)
    slope = random.integers(-5, 5) / (right - left)
    length = np.hypot(1, slope) * (right - left)
    count = int((length - ZIGZAG) // (2 * ZIGZAG)) + 1
    along = [0.0, *((2 * index + 1) * ZIGZAG for index in range(count)), length]
    aside = [0.0, *((-1) ** index * ZIGZAG for index in range(count))]
    aside.append(aside[-1] / (2 * (length % (2 * ZIGZAG))))
    points = np.array([[1, -slope], [slope, 1]]) @ [along, aside] / np.hypot(1, slope) + [[left], [start]]
    for (x0, x1), (y0, y1) in zip(*(pairwise(axis) for axis in points), strict=True):
        image = (image + _line(x0, y0, x1, y1)).clip(0, 1)
    return image


def _canny(image: Values) -> Values:
    weight = ndimage.gaussian_filter(np.ones_like(image), 1, mode="constant")
    smooth = ndimage.gaussian_filter(image, 1, mode="constant") / weight
    down, right = (ndimage.sobel(smooth, axis=axis) for axis in (0, 1))
    strength = np.hypot(down, right)
    longest = np.maximum(np.maximum(np.abs(down), np.abs(right)), 1e-12)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    neighbours = [
        ndimage.map_coordinates(strength, [rows + sign * down / longest, columns + sign * right / longest], order=1)
        for sign in (-1, 1)
    ]
    ridge = (strength >= neighbours[0]) & (strength >= neighbours[1]) & (strength >= LOW)
    ridge[[0, -1]] = ridge[:, [0, -1]] = False
    parts, _count = ndimage.label(ridge, np.ones((3, 3)))
    return np.isin(parts, np.unique(parts[ridge & (strength >= HIGH)])) & ridge
