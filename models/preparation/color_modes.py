"""Conversion of every Pillow mode to grey (L) or colour (RGB)."""

import math

import numpy as np
from PIL import Image


def plain(image: Image.Image) -> Image.Image:
    """Convert a decoded image of any mode to L or RGB.

    Transparent pixels get a black or white background, whichever contrasts more with the content.

    Raises:
        ValueError: the pixel values are not finite.
    """
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # a widened byte, 257 * v, becomes v again
    if image.mode in ("I", "F"):
        return _scaled_to_bytes(image)
    if image.has_transparency_data:
        return _over_contrasting_background(image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA"))
    return image.convert("L" if image.mode == "1" else "RGB")


def _scaled_to_bytes(image: Image.Image) -> Image.Image:
    """Map values to 0..255.

    The full scale is the smallest usual one that contains the values, else their own range.
    """
    low, high = image.getextrema()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if not math.isfinite(high - low):
        raise ValueError("the pixel values are not finite")
    scales = (255, 65535) if image.mode == "I" else (1, 255, 65535)
    full_scale = next((scale for scale in scales if low >= 0 and high <= scale), None)
    if full_scale is not None:
        low, high = 0, full_scale
    factor = 255 / ((high - low) or 1)
    return image.point(lambda value: value * factor + (0.5 - low * factor)).convert("L")


def _over_contrasting_background(picture: Image.Image) -> Image.Image:
    """Composite an LA or RGBA picture over black or white, by contrast."""
    alpha, mode = picture.getchannel("A"), picture.mode[:-1]
    if alpha.getextrema() == (255, 255):
        return picture.convert(mode)
    content = Image.new("L", picture.size)
    content.paste(picture.convert("L"), mask=alpha)  # lightness, weighted by opacity
    levels = np.arange(256)
    is_light = 2 * (levels @ content.histogram()) > levels @ alpha.histogram()
    background = Image.new(mode, picture.size, "black" if is_light else "white")
    background.paste(picture.convert(mode), mask=alpha)
    return background
