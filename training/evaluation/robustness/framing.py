"""Framings: functions from a test image and a generator to an encoded picture.

digit_framings.py takes MNIST images, (28, 28) uint8, white on black; photo_framings.py takes CIFAR-10 images,
(32, 32, 3) uint8.
"""

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Random = np.random.Generator
Array = NDArray[np.uint8]
Framing = Callable[[Array, Random], bytes]
Framings = Mapping[str, Framing]

NATIVE = "as in the test split"


def encode(picture: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    """Return the picture as an encoded file."""
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def native(image: Array, _random: Random) -> bytes:
    """Encode the test image itself."""
    return encode(Image.fromarray(image))
