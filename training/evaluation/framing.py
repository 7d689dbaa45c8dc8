"""A test image in a picture as people send them, as an encoded file; each kind is a function of image and seed.

Digits come as MNIST has them, (28, 28) uint8, white on black, and are framed in framed_digits.py; photographs as
CIFAR-10 has them, (32, 32, 3), and are framed in framed_photos.py.
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


def encode(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def native(image: Array, _random: Random) -> bytes:
    """The test image itself."""
    return encode(Image.fromarray(image))
