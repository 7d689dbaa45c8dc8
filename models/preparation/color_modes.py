"""Conversion of every Pillow mode to grey (L) or colour (RGB)."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SCALES = (255, 1023, 4095, 16383, 65535)  # of samples that use 8, 10, 12, 14 or 16 bits
_KEY_SAMPLE = 1_000_000  # pixels that decide whether a colour key is the paper
_NEAR = 32  # levels; such a colour is close to the colour key
_MOSTLY, _PARTLY = 0.75, 0.25  # shares of the drawn pixels


def plain(image: Image.Image) -> Image.Image:
    """Convert a decoded image of any mode to L or RGB.

    Transparent pixels get a black or white background, whichever contrasts more with the content. A colour that stands
    for transparency (PNG, GIF) is the background itself, unless what is drawn has that colour too.

    Raises:
        ValueError: the pixel values are not finite.
    """
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray(_narrow(np.asarray(image)))
    if image.mode in ("I", "F"):
        return _scaled_to_bytes(image)
    mode = "L" if image.mode in ("1", "L") else "RGB"
    if isinstance(image.info.get("transparency"), int | tuple) and _is_key_the_paper(image):
        return image.convert(mode)
    if not image.has_transparency_data or (image.format == "BMP" and _is_alpha_empty(image)):
        return image.convert(mode)
    return _over_contrasting_background(image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA"))


def _is_alpha_empty(image: Image.Image) -> bool:
    """Return whether the alpha channel is 0 everywhere, because the writer did not use it."""
    return image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0)


def _narrow(samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Reduce samples of 16 bits, of which the lower 8 to 16 are in use, to 8 bits."""
    used = next(scale for scale in _SCALES if samples.max(initial=0) <= scale)
    return (samples >> (used.bit_length() - 8)).astype(np.uint8)  # a widened byte, 257 * v, becomes v again


def _scaled_to_bytes(image: Image.Image) -> Image.Image:
    """Map values to 0..255.

    The full scale is the smallest usual one that contains the values, else their own range.
    """
    low, high = image.getextrema()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if not math.isfinite(high - low):
        raise ValueError("the pixel values are not finite")
    scales = _SCALES if image.mode == "I" else (1, *_SCALES)
    full_scale = next((scale for scale in scales if low >= 0 and high <= scale), None)
    if full_scale is not None:
        low, high = 0, full_scale
    factor = 255 / ((high - low) or 1)
    return image.point(lambda value: value * factor + (0.5 - low * factor)).convert("L")


def _is_key_the_paper(image: Image.Image) -> bool:
    """Return whether the colour that stands for transparency is what the picture is drawn on.

    Soft ink fades to the colour of its paper: next to keyed pixels it is closer to the key than elsewhere. Other
    writers key a colour that does not occur, often black, under black ink that fades to white.
    """
    step = math.ceil(math.sqrt(image.width * image.height / _KEY_SAMPLE))
    sample = image.resize((-(-image.width // step), -(-image.height // step)), Image.Resampling.NEAREST)
    pixels = np.asarray(sample.convert("RGBA")).astype(np.int16)
    keyed = pixels[:, :, 3] == 0
    if not keyed.any() or keyed.all():
        return True
    near = np.abs(pixels[:, :, :3] - pixels[keyed][0, :3]).max(axis=2) < _NEAR
    around = np.pad(keyed, 1)
    border = ~keyed & (around[:-2, 1:-1] | around[2:, 1:-1] | around[1:-1, :-2] | around[1:-1, 2:])
    share = near[~keyed].mean()
    return bool(share < _PARTLY or (share < _MOSTLY and near[border].mean() >= share))


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
