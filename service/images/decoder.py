"""Decoder of image files.

The format is detected by magic bytes, the file is reduced to what its pixels need within limits, and the pixels become
mode L or RGB.
"""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

from PIL import AvifImagePlugin, Image, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models.preparation.upright import decode_upright
from service.images.containers.bmp import parse_bmp
from service.images.containers.container import Container, check_sides
from service.images.containers.gif import parse_gif
from service.images.containers.heif import find_brand, parse_heif
from service.images.containers.jpeg import END, is_complete, parse_jpeg
from service.images.containers.png import parse_png
from service.images.containers.tiff import parse_tiff
from service.images.containers.webp import parse_webp
from service.images.low_bits import restore_low_bits
from service.problems import ImageTooLarge, Problem, UnreadableImage, UnsupportedImage

try:
    from pi_heif import HeifImageFile
    from pi_heif import options as heif_options
except ImportError:  # the extra `heif` is not installed
    HeifImageFile = None
else:
    heif_options.DECODE_THREADS = 1
    heif_options.THUMBNAILS = heif_options.DEPTH_IMAGES = heif_options.AUX_IMAGES = False

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the service decodes several images at once


class Format(NamedTuple):
    """How a format is decoded, and what that costs."""

    name: str
    parse: Callable[[bytes, int], Container]
    plugin: type[ImageFile]
    ns_per_pixel: float  # per pass, decoded and prepared; see benchmarks.decoding_costs
    max_pixels: int | None = None  # where memory or time demands a lower limit than CLASSIFIER_MAX_PIXELS


_PNG = Format("PNG", parse_png, PngImageFile, 20)
_JPEG = Format("JPEG", parse_jpeg, JpegImageFile, 10)
_GIF = Format("GIF", parse_gif, GifImageFile, 20)
_BMP = Format("BMP", parse_bmp, BmpImageFile, 10)
_TIFF = Format("TIFF", parse_tiff, TiffImageFile, 20)
_WEBP = Format("WebP", parse_webp, WebPImageFile, 40, max_pixels=25_000_000)
_AVIF = Format("AVIF", parse_heif, AvifImageFile, 40, max_pixels=20_000_000)
_HEIF = HeifImageFile and Format("HEIF", parse_heif, HeifImageFile, 40, max_pixels=25_000_000)
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"\xff\xd8\xff", _JPEG),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"BM", _BMP),
    (b"II*\x00", _TIFF),
    (b"MM\x00*", _TIFF),
    (b"II+\x00", _TIFF),  # BigTIFF
    (b"MM\x00+", _TIFF),
)
_REMEDY = "send PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC"
_UNSUPPORTED = ("unknown pixel mode", "unknown data organization", "Unsupported BMP")  # Pillow's messages
_SAMPLES = {
    "TIFF": "unsigned samples of 1, 2, 4, 8, 12 or 16 bits (grey), of 8 or 16 bits (RGB, RGBA, CMYK) or of up to "
    "8 bits (palette), or one signed, unsigned or float sample of 32 bits",
    "BMP": "1, 4, 8, 16, 24 or 32 bits per pixel, with 5, 6 or 8 bits per colour",
}

# Pillow's warnings about a client's file do not belong in the server log.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


@dataclass(slots=True, frozen=True)
class OpenedImage:
    """An image whose header is parsed and whose pixels are not decoded yet."""

    image: Image.Image
    container: Container
    format: Format

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, before the image is rotated."""
        return self.image.size

    @property
    def expected_s(self) -> float:
        """Expected seconds to decode and prepare the pixels."""
        width, height = self.size
        return width * height * self.container.passes * self.format.ns_per_pixel * 1e-9


def open_image(body: bytes | bytearray | memoryview, *, max_pixels: int) -> OpenedImage:
    """Parse the header of an encoded image: format, mode and size, but no pixels.

    Raises:
        UnsupportedImage: the first bytes match no supported format.
        ImageTooLarge: the header states more than ``max_pixels``, or than the format allows.
        UnreadableImage: the header is damaged, or decoding would be disproportionately expensive.
    """
    body = bytes(body)
    format_ = _find_format(body[:64])
    limit = min(max_pixels, format_.max_pixels or max_pixels)
    try:
        container = format_.parse(body, limit)
        end = b"" if container.has_end else END
        image = format_.plugin(BytesIO(container.body + end))  # Image.open also warns and tries other plugins
    except Problem:
        raise
    except Exception as error:
        raise _problem(format_.name, error) from error
    check_sides(*image.size, limit)
    return OpenedImage(image, container, format_)


def decode_picture(opened: OpenedImage, *, draft_side: int | None = None) -> Image.Image:
    """Decode the first frame of an opened image, upright, as mode L or RGB.

    Transparent pixels get a black or white background, whichever contrasts more with the content. A JPEG larger than
    ``draft_side`` is decoded at 1/2, 1/4 or 1/8 of its size, but no smaller than ``draft_side``.

    Raises:
        UnreadableImage: the pixels are damaged or incomplete.
    """
    container = opened.container
    try:
        if not (container.has_end or is_complete(container.body, draft_side=draft_side)):
            raise UnreadableImage("the JPEG cannot be decoded: it is truncated; send the complete, undamaged file")
        image = restore_low_bits(opened.image, lambda: opened.format.plugin(BytesIO(container.body)))
        return decode_upright(image, draft_side=draft_side, orientation=container.orientation)
    except Problem:
        raise
    except Exception as error:
        raise _problem(opened.format.name, error) from error


def _find_format(start: bytes) -> Format:
    for magic, format_ in _MAGIC:
        if start.startswith(magic):
            return format_
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return _WEBP
    if brand := find_brand(start):
        return _find_video_format(brand)
    if start.startswith(_JPEG_XL):
        raise UnsupportedImage(f"JPEG XL is not supported: convert it, or {_REMEDY}")
    first = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in start[:12])
    raise UnsupportedImage(f"unknown image format, the file begins with '{first}': {_REMEDY}")


def _find_video_format(brand: str) -> Format:
    """Return the format AVIF or HEIF, if its decoder is installed."""
    if brand == "AVIF":
        if not features.check("avif"):
            raise UnsupportedImage(f"AVIF is not supported by the installed Pillow: {_REMEDY}")
        return _AVIF
    if _HEIF is None:
        raise UnsupportedImage(
            "HEIC and HEIF need the extra `heif`, which is not installed on this server: install it, or send JPEG, "
            "which phones and editors can export"
        )
    return _HEIF


def _problem(format_name: str, error: Exception) -> Problem:
    """Convert a plugin's exception, of any class, to a problem."""
    if str(error).startswith(_UNSUPPORTED) and format_name in _SAMPLES:
        return UnsupportedImage(
            f"the {format_name} has a sample format that is not supported ({error}): expected {_SAMPLES[format_name]}; "
            "save it again or send PNG"
        )
    if isinstance(error, Image.DecompressionBombError):  # a frame exceeds the size in the file's header
        return ImageTooLarge(f"the image has too many pixels: {error}")
    cause = str(error) or type(error).__name__
    return UnreadableImage(f"the {format_name} cannot be decoded: {cause}; send the complete, undamaged file")
