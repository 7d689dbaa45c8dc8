"""Colour files of 16 bits per sample that use fewer bits.

Pillow keeps the upper byte of such samples. It is 0, or nearly so, if a writer stored 8 to 14 bits without widening
them.
"""

from collections.abc import Callable
from typing import Any, cast

from PIL import Image, ImageChops
from PIL.ImageFile import ImageFile

_MAX_PIXELS = 16_000_000  # decoded twice
_UNUSED = 64  # the upper byte of a sample with at most 14 bits is below
_LOWER_BYTES = {  # layout of the samples -> layout that takes the other byte of each
    f"{mode};16{order}": f"{mode};16{other}" for mode in ("RGB", "RGBA") for order, other in ("BL", "LB", "NB")
} | {"LA;16B": "RGBA"}


def restore_low_bits(image: Image.Image, reopen: Callable[[], ImageFile]) -> Image.Image:
    """Return a decoded image whose samples are scaled by the bits that they use.

    Args:
        image: opened by a plugin, not decoded yet.
        reopen: opens the same file again.
    """
    lower_mode = _LOWER_BYTES.get(_raw_mode(image))
    if lower_mode is None or image.width * image.height > _MAX_PIXELS:
        return image
    image.load()
    uppers = list(image.split())
    if lower_mode == "RGBA":  # grey and alpha, as mode RGBA
        uppers = [uppers[0], uppers[3]]
    colors = uppers[:3] if len(uppers) > 2 else uppers[:1]
    highest = max(_highest(band) for band in colors)
    if highest >= _UNUSED:
        return image
    again = reopen()
    again.tile = [tile._replace(args=_with_raw_mode(tile.args, lower_mode)) for tile in again.tile]
    again.load()
    lowers = again.split()[1::2] if lower_mode == "RGBA" else again.split()
    used = highest.bit_length()
    bands = [
        upper if number >= len(colors) and _highest(upper) >= _UNUSED else _join(upper, lower, used)
        for number, (upper, lower) in enumerate(zip(uppers, lowers, strict=True))
    ]
    return Image.merge({2: "LA", 3: "RGB", 4: "RGBA"}[len(bands)], bands)


def _highest(band: Image.Image) -> int:
    return cast("int", band.getextrema()[1])


def _join(upper: Image.Image, lower: Image.Image, used: int) -> Image.Image:
    """Return the highest 8 bits of samples that use the lower byte and ``used`` bits of the upper one."""
    return ImageChops.add(
        upper.point(lambda value: value << (8 - used) & 255), lower.point(lambda value: value >> used)
    )


def _raw_mode(image: Image.Image) -> str:
    """Return Pillow's name of the layout of the encoded samples."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    args = tiles[0].args
    return args if isinstance(args, str) else str(args[0])


def _with_raw_mode(args: Any, raw_mode: str) -> Any:  # noqa: ANN401  # as Pillow's plugins set it
    return raw_mode if isinstance(args, str) else (raw_mode, *args[1:])
