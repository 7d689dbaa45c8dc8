"""Preparations of networks from other projects: a resize, and a crop of its centre.

The pixels equal those of torchvision's ``Resize`` and ``CenterCrop`` on a Pillow image, bit for bit, unless the picture
is more elongated than MOST_ELONGATED.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import Interpolation

Pixels = NDArray[np.uint8]

MOST_ELONGATED = 16  # longer side per shorter side; more is cut off before the resize, which would need gigabytes
_FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def center_crop(
    picture: Image.Image, image_shape: tuple[int, ...], *, side: int, interpolation: Interpolation
) -> Pixels:
    """Resize a picture's shorter side to ``side`` and cut out the centre, with black where the picture is smaller.

    A picture that is more elongated than MOST_ELONGATED, and than twice the centre, is cut to its middle first.

    Shape: any picture -> ``image_shape``, (H, W) or (H, W, 3)
    """
    height, width = image_shape[:2]
    picture = _middle(_in_mode_of(picture, image_shape), max(MOST_ELONGATED, -(-2 * max(height, width) // side)))
    picture = _resize(picture, _size_of(picture, side), interpolation)
    left, top = _offset(picture.width, width), _offset(picture.height, height)
    return np.asarray(picture.crop((left, top, left + width, top + height)))


def squash(picture: Image.Image, image_shape: tuple[int, ...], *, interpolation: Interpolation) -> Pixels:
    """Resize a picture without regard to its aspect ratio.

    Shape: any picture -> ``image_shape``, (H, W) or (H, W, 3)
    """
    height, width = image_shape[:2]
    return np.asarray(_resize(_in_mode_of(picture, image_shape), (width, height), interpolation))


def _in_mode_of(picture: Image.Image, image_shape: tuple[int, ...]) -> Image.Image:
    mode = "L" if len(image_shape) == 2 else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def _middle(picture: Image.Image, most: int) -> Image.Image:
    """Cut off the ends of a picture whose longer side is over ``most`` times the shorter one."""
    longest = most * min(picture.size)
    if max(picture.size) <= longest:
        return picture
    longest += (max(picture.size) - longest) % 2  # as much at both ends
    width, height = (min(side, longest) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _size_of(picture: Image.Image, side: int) -> tuple[int, int]:
    """Return the width and height with the shorter side ``side``; torchvision rounds the longer one down."""
    long = int(side * max(picture.size) / min(picture.size))
    return (side, long) if picture.width <= picture.height else (long, side)


def _resize(picture: Image.Image, size: tuple[int, int], interpolation: Interpolation) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, _FILTERS[interpolation])


def _offset(side: int, crop: int) -> int:
    """Return where a centred crop begins; below 0 it begins in the padding, whose odd pixel is at the end."""
    return round((side - crop) / 2) if side >= crop else -((crop - side) // 2)
