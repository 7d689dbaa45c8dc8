"""Preparation of photographs: cropped to the subject and resized."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preparation.subject import find_subject

_REDUCING_GAP = 3.0  # pixels per output pixel for the final filter; box averaging reduces to that first


def photo(picture: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Crop a picture to its subject, else to its centre, and resize it.

    Shape: any picture, ``size`` = (H, W) -> (H, W, 3)
    """
    height, width = size
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    if picture.size != (width, height):
        left, top, right, bottom = find_subject(picture, aspect=size)
        filter_ = Image.Resampling.LANCZOS if right - left > width else Image.Resampling.BICUBIC
        picture = picture.resize((width, height), filter_, (left, top, right, bottom), reducing_gap=_REDUCING_GAP)
    return np.asarray(picture)
