"""Bytes to a picture: formats known by their first bytes, limits read from the header, every mode made L or RGB."""

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

# What Pillow remarks about a client's file is that client's business, not the server log's.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


def open_image(body: bytes | bytearray | memoryview, *, max_pixels: int) -> Image.Image:
    """Read the header of an encoded image: format, mode and size are known afterwards, no pixel is decoded.

    Raises:
        UnsupportedImage: the bytes begin like no format that is read.
        ImageTooLarge: the header says more than ``max_pixels``.
        UnreadableImage: the header is damaged, or would cost out of proportion.
    """
    plugin = _plugin(bytes(body[:64]))
    check_blocks(body)
    try:
        image: Image.Image = plugin(BytesIO(body))  # Image.open would do this too, but also warn and ask other plugins
        sizes = [image.size]
        if isinstance(image, TiffImageFile):  # a small image may come in tiles of any size
            sizes.append((int(image.tag_v2.get(_TIFF_TILE_WIDTH, 0)), int(image.tag_v2.get(_TIFF_TILE_LENGTH, 0))))
    except Exception as error:
        raise _problem(plugin.format, error) from error
    for width, height in sizes:
        if width * height > max_pixels:
            raise ImageTooLarge(f"the image has {width} x {height} pixels, expected at most {max_pixels} in all")
    check_run_lengths(image)
    if isinstance(image, JpegImageFile):
        check_scans(body, image.width * image.height)
    return image


def read_picture(image: Image.Image, *, draft_side: int | None = None) -> Image.Image:
    """Decode the first frame of an opened image, upright, as mode L or RGB.

    Transparency lies over black or white, whichever contrasts more with what is drawn. A JPEG larger than
    ``draft_side`` is decoded at a half, a quarter or an eighth of its size, no smaller than that.

    Raises:
        UnreadableImage: the pixels are damaged or cut off.
    """
    try:
        return decode_upright(image, draft_side=draft_side)
    except Exception as error:
        raise _problem(image.format, error) from error


def _plugin(head: bytes) -> type[ImageFile]:
    for magic, plugin in _PLUGINS:
        if head.startswith(magic):
            return plugin
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WebPImageFile
    if head[4:8] == b"ftyp":  # the box of the ISO family; the brands that it may be read as follow
        name = "AVIF" if b"avi" in head[8:] else "HEIC" if any(b in head[8:] for b in (b"hei", b"hev", b"mif")) else ""
        if name:
            raise UnsupportedImage(f"{name} is not read: {_REMEDY}; phones and editors can export JPEG")
    raise UnsupportedImage(f"the bytes begin like no image that is read ({head[:12]!r}): {_REMEDY}")


def _problem(format_name: str | None, error: Exception) -> Problem:
    """Return what to tell the client; the plugins raise a dozen classes that share no base below Exception."""
    if isinstance(error, Image.DecompressionBombError):  # a frame beyond the size in its file's header
        return ImageTooLarge(f"the image has too many pixels: {error}")
    cause = str(error) or type(error).__name__
    return UnreadableImage(f"the {format_name} cannot be decoded: {cause}; send the whole, undamaged file")
