"""Decoder of image files.

The format is detected by magic bytes, the header is checked against limits, and the pixels become mode L or RGB.
"""

import logging
import warnings
from io import BytesIO

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models.preparation.upright import decode_upright
from service.images.guards import check_blocks, check_run_lengths, check_scans
from service.problems import ImageTooLarge, Problem, UnreadableImage, UnsupportedImage

_PLUGINS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    (b"GIF87a", GifImageFile),
    (b"GIF89a", GifImageFile),
    (b"BM", BmpImageFile),
    (b"II*\x00", TiffImageFile),
    (b"MM\x00*", TiffImageFile),
    (b"II+\x00", TiffImageFile),  # BigTIFF
    (b"MM\x00+", TiffImageFile),
)
_TIFF_TILE_WIDTH, _TIFF_TILE_LENGTH = 322, 323
_REMEDY = "send PNG, JPEG, WebP, GIF, BMP or TIFF"

# Pillow's warnings about a client's file do not belong in the server log.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


def open_image(body: bytes | bytearray | memoryview, *, max_pixels: int) -> Image.Image:
    """Parse the header of an encoded image: format, mode and size, but no pixels.

    Raises:
        UnsupportedImage: the first bytes match no supported format.
        ImageTooLarge: the header states more than ``max_pixels``.
        UnreadableImage: the header is damaged, or decoding would be disproportionately expensive.
    """
    plugin = _plugin(bytes(body[:64]))
    check_blocks(body)
    try:
        image: Image.Image = plugin(BytesIO(body))  # Image.open also warns and tries other plugins
        sizes = [image.size]
        if isinstance(image, TiffImageFile):  # a small image may have tiles of any size
            sizes.append((int(image.tag_v2.get(_TIFF_TILE_WIDTH, 0)), int(image.tag_v2.get(_TIFF_TILE_LENGTH, 0))))
    except Exception as error:
        raise _problem(plugin.format, error) from error
    for width, height in sizes:
        if width * height > max_pixels:
            raise ImageTooLarge(f"the image has {width} x {height} pixels, expected at most {max_pixels} in total")
    check_run_lengths(image)
    if isinstance(image, JpegImageFile):
        check_scans(body, image.width * image.height)
    return image


def decode_picture(image: Image.Image, *, draft_side: int | None = None) -> Image.Image:
    """Decode the first frame of an opened image, upright, as mode L or RGB.

    Transparent pixels get a black or white background, whichever contrasts more with the content. A JPEG larger than
    ``draft_side`` is decoded at 1/2, 1/4 or 1/8 of its size, but no smaller than ``draft_side``.

    Raises:
        UnreadableImage: the pixels are damaged or incomplete.
    """
    try:
        return decode_upright(image, draft_side=draft_side)
    except Exception as error:
        raise _problem(image.format, error) from error


def _plugin(start: bytes) -> type[ImageFile]:
    for magic, plugin in _PLUGINS:
        if start.startswith(magic):
            return plugin
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return WebPImageFile
    if start[4:8] == b"ftyp":  # the ISO base media box; the compatible brands follow
        name = (
            "AVIF" if b"avi" in start[8:] else "HEIC" if any(b in start[8:] for b in (b"hei", b"hev", b"mif")) else ""
        )
        if name:
            raise UnsupportedImage(f"{name} is not supported: {_REMEDY}; phones and editors can export JPEG")
    first = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in start[:12])
    raise UnsupportedImage(f"unknown image format, the file begins with '{first}': {_REMEDY}")


def _problem(format_name: str | None, error: Exception) -> Problem:
    """Convert a plugin's exception, of any class, to a problem."""
    if isinstance(error, Image.DecompressionBombError):  # a frame exceeds the size in the file's header
        return ImageTooLarge(f"the image has too many pixels: {error}")
    cause = str(error) or type(error).__name__
    return UnreadableImage(f"the {format_name} cannot be decoded: {cause}; send the complete, undamaged file")
