"""The 15 corruptions of CIFAR-10-C (Hendrycks and Dietterich 2019), in five severities.

The constants are those of the authors' ``make_cifar_c.py``, for 32 x 32 pixels. Frost differs: the authors blend in
photographs of frost, and :func:`frost` draws its own.
"""

import io
from functools import partial

import numpy as np
from PIL import Image
from scipy import ndimage

from training.evaluation.robustness.corruption import (
    Corruption,
    Corruptions,
    Random,
    Values,
    add_fog,
    gaussian_noise,
    glass_blur,
    impulse_noise,
    motion,
    motion_blur,
    plasma,
    shot_noise,
)

GREY = np.array([0.299, 0.587, 0.114])  # luma of red, green and blue
FROST_COLOR = np.array([0.85, 0.95, 1.0])  # ice is slightly blue


def defocus_blur(images: Values, _random: Random, radius: float, sigma: float) -> Values:
    """Blur with a disk, antialiased by a 3x3 Gaussian filter of ``sigma``."""
    rows, columns = np.mgrid[-4:5, -4:5]
    disk = ((rows**2 + columns**2) <= radius**2).astype(float)
    kernel = ndimage.gaussian_filter(disk / disk.sum(), sigma, radius=1)
    return ndimage.correlate(images, kernel[None, :, :, None], mode="mirror")


def zoom_blur(images: Values, _random: Random, largest: float) -> Values:
    """Average the image and its magnifications from 1 to below ``largest``, in steps of 0.01."""
    factors = np.arange(1, largest, 0.01)
    return np.mean([images, *(zoom(images, factor) for factor in factors)], axis=0)


def snow(images: Values, random: Random, *constants: float) -> Values:
    """Add flakes that fall, and whiten the image.

    Args:
        images: the batch.
        random: the generator.
        constants: mean and standard deviation of the flakes' noise, its magnification and least value, radius and sigma
            of the motion blur, and the share of the image that is not whitened.
    """
    mean, spread, size, least, radius, sigma, kept = constants
    flakes = zoom(random.normal(mean, spread, images.shape[:3]), size)
    flakes = np.where(flakes < least, 0, flakes).clip(0, 1)
    flakes = motion_blur(flakes, random.uniform(-135, -45, len(images)), int(radius), sigma)[..., None]
    grey = (images @ GREY)[..., None]
    whitened = kept * images + (1 - kept) * np.maximum(images, grey * 1.5 + 0.5)
    return whitened + flakes + np.rot90(flakes, 2, axes=(1, 2))


def frost(images: Values, random: Random, kept: float, strength: float) -> Values:
    """Blend in frost: needles in three directions over a rough plasma.

    It stands in for the authors' six photographs, with a mean of 0.56 and a standard deviation of 0.17.
    """
    texture = 0.15 + 0.6 * plasma(random, len(images), 32, 1.7)
    for _ in range(3):
        seeds = (random.random(images.shape[:3]) < 0.04).astype(float)
        texture += motion_blur(seeds, random.uniform(0, 360, len(images)), 8, 4)
    return kept * images + strength * texture.clip(0, 1)[..., None] * FROST_COLOR


def fog(images: Values, random: Random, density: float, decay: float) -> Values:
    """Add plasma clouds."""
    return add_fog(images, plasma(random, len(images), 32, decay), density)


def brightness(images: Values, _random: Random, more: float) -> Values:
    """Add to the value of each pixel in the HSV colour space."""
    value = images.max(axis=3, keepdims=True)
    brighter = np.minimum(value + more, 1)
    return np.where(value > 0, images * brighter / np.maximum(value, 1e-9), brighter)


def contrast(images: Values, _random: Random, kept: float) -> Values:
    """Move all values towards the mean of their channel."""
    means = images.mean(axis=(1, 2), keepdims=True)
    return (images - means) * kept + means


def elastic(images: Values, random: Random, amplitude: float, sigma: float, move: float) -> Values:
    """Apply a random affine map, then displace each pixel by smooth noise."""
    return np.stack([_elastic(image, random, amplitude, sigma, move) for image in images])


def pixelate(images: Values, _random: Random, factor: float) -> Values:
    """Reduce to fewer pixels and enlarge again, with box filters."""
    height, width = images.shape[1:3]
    small = int(width * factor), int(height * factor)
    box = Image.Resampling.BOX
    return (
        np.stack([np.asarray(_picture(image).resize(small, box).resize((width, height), box)) for image in images])
        / 255
    )


def jpeg(images: Values, _random: Random, quality: int) -> Values:
    """Compress as JPEG."""
    return np.stack([_through_jpeg(image, quality) for image in images]) / 255


PHOTO_CORRUPTIONS: Corruptions = {
    "Gaussian noise": Corruption(function=gaussian_noise, severities=[(0.04,), (0.06,), (0.08,), (0.09,), (0.10,)]),
    "shot noise": Corruption(function=shot_noise, severities=[(500,), (250,), (100,), (75,), (50,)]),
    "impulse noise": Corruption(function=impulse_noise, severities=[(0.01,), (0.02,), (0.03,), (0.05,), (0.07,)]),
    "defocus blur": Corruption(
        function=defocus_blur, severities=[(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)]
    ),
    # The authors' exchange of two pixels copies one of them, because NumPy's rows are views.
    "glass blur": Corruption(
        function=partial(glass_blur, share=1.0, swap=False),
        severities=[(0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2)],
    ),
    "motion blur": Corruption(function=motion, severities=[(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)]),
    "zoom blur": Corruption(function=zoom_blur, severities=[(1.06,), (1.11,), (1.16,), (1.21,), (1.26,)]),
    "snow": Corruption(
        function=snow,
        severities=[
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ],
    ),
    "frost": Corruption(function=frost, severities=[(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)]),
    "fog": Corruption(function=fog, severities=[(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)]),
    "brightness": Corruption(function=brightness, severities=[(0.05,), (0.1,), (0.15,), (0.2,), (0.3,)]),
    "contrast": Corruption(function=contrast, severities=[(0.75,), (0.5,), (0.4,), (0.3,), (0.15,)]),
    "elastic": Corruption(
        function=elastic,
        severities=[(0, 0, 2.56), (1.6, 6.4, 2.24), (2.56, 1.92, 1.92), (3.2, 1.28, 1.6), (3.2, 0.96, 0.96)],
    ),
    "pixelate": Corruption(function=pixelate, severities=[(0.95,), (0.9,), (0.85,), (0.75,), (0.65,)]),
    "JPEG": Corruption(function=jpeg, severities=[(80,), (65,), (58,), (50,), (40,)]),
}


def zoom(images: Values, factor: float) -> Values:
    """Magnify the centre of each image by ``factor``, bilinearly, and keep the size."""
    side = images.shape[1]
    inner = int(np.ceil(side / factor))
    start = (side - inner) // 2
    zoomed_side = round(inner * factor)
    positions = np.linspace(0, inner - 1, zoomed_side)[(zoomed_side - side) // 2 :][:side]
    weights = (1 - np.abs(positions[:, None] - np.arange(inner))).clip(0)  # (side, inner), of a linear interpolation
    crop = images[:, start : start + inner, start : start + inner]
    return np.einsum("rh,cw,nhw...->nrc...", weights, weights, crop, optimize=True)


def _elastic(image: Values, random: Random, amplitude: float, sigma: float, move: float) -> Values:
    side = image.shape[0]
    centre, arm = side // 2, side // 3
    corners = np.array(
        [[centre + arm, centre + arm], [centre + arm, centre - arm], [centre - arm, centre - arm]], float
    )
    moved = corners + random.uniform(-move, move, corners.shape)
    to_source = np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners)  # (x, y, 1) -> source (x, y)
    rows, columns = np.mgrid[:side, :side].astype(float)
    source = np.stack([columns, rows, np.ones_like(rows)], axis=2) @ to_source
    image = _sample(image, source[..., 1], source[..., 0], "mirror")
    right, down = (
        amplitude * ndimage.gaussian_filter(random.uniform(-1, 1, (side, side)), sigma, mode="reflect", truncate=3)
        for _ in range(2)
    )
    return _sample(image, rows + down, columns + right, "reflect")


def _sample(image: Values, rows: Values, columns: Values, mode: str) -> Values:
    channels = [ndimage.map_coordinates(image[..., c], [rows, columns], order=1, mode=mode) for c in range(3)]
    return np.stack(channels, axis=2)


def _picture(image: Values) -> Image.Image:
    return Image.fromarray((image * 255).round().astype(np.uint8))


def _through_jpeg(image: Values, quality: int) -> Values:
    buffer = io.BytesIO()
    _picture(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), dtype=float)
