"""Limits on image files that are disproportionately expensive to decode.

A file of ordinary size can repeat a block that Pillow appends to all earlier ones, point every tag of a directory to
the same megabytes, inflate its texts by a factor of 1000, or scan all its pixels many times. Extreme files are
rejected. Costly small files are decoded outside the event loop.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from service.images.pillow_adapter import EXIF_PREFIX
from service.problems import BodyTooLarge, UnreadableImage

Body = bytes | bytearray | memoryview

_GIF_BLOCKS = 10_000  # before the first frame; real files have a few, or a few hundred with an ICC profile
_EXIF_BLOCKS = 100  # real files have one, and one in each preview
_EXIF_BLOCK, _SCAN = (
    re.compile(EXIF_PREFIX),
    re.compile(rb"\xff\xda"),
)  # faster than bytes.count, and accepts any buffer
_SCANNED_PIXELS = 5_000_000_000  # over all scans of a JPEG: a few seconds; real files have a dozen scans
_INLINE_SCANS = 20  # these take under 1 ms for a small image
# First bytes of a file -> names of its directories and compressed blocks.
_COSTLY_BLOCKS: Mapping[bytes, Sequence[bytes]] = {
    b"\xff\xd8": (b"Exif",),
    b"\x89P": (b"eXIf", b"iCCP", b"iTXt", b"zTXt"),
    b"RI": (b"EXIF",),
    b"II": (b"II",),  # TIFF: the directory may be the whole file
    b"MM": (b"MM",),
}


def is_costly(body: bytes) -> bool:
    """Return whether a small file may be slow to decode on the event loop."""
    beginning = body[:2]
    if any(name in body for name in _COSTLY_BLOCKS.get(beginning, ())):
        return True
    return beginning == b"\xff\xd8" and _count_scans(body) > _INLINE_SCANS


def check_size(image: bytes, limit: int) -> None:
    """Check the limit on the bytes of an image.

    Raises:
        BodyTooLarge: the image is longer than ``limit``.
    """
    if len(image) > limit:
        raise BodyTooLarge(f"the image has {len(image)} bytes, expected at most {limit}")


def check_blocks(body: Body) -> None:
    """Reject a file whose blocks Pillow would join one by one, in quadratic time.

    Raises:
        UnreadableImage: a GIF or JPEG has more such blocks than real files have.
    """
    if body[:4] == b"GIF8" and _count_gif_blocks(body) > _GIF_BLOCKS:
        raise UnreadableImage(f"the GIF has over {_GIF_BLOCKS} blocks before its first frame; save it again")
    if body[:2] == b"\xff\xd8" and len(_EXIF_BLOCK.findall(body)) > _EXIF_BLOCKS:
        raise UnreadableImage(f"the JPEG has over {_EXIF_BLOCKS} blocks of EXIF; save it again")


def check_scans(body: Body, num_pixels: int) -> None:
    """Reject a JPEG with too many scans.

    A scan of a few bytes covers ``num_pixels``.

    Raises:
        UnreadableImage: the JPEG has more scans than any encoder writes.
    """
    scans = _count_scans(body)
    if scans * num_pixels > _SCANNED_PIXELS:
        raise UnreadableImage(f"the JPEG has {scans} scans of {num_pixels} pixels; save it again with at most 12 scans")


def check_run_lengths(image: Image.Image) -> None:
    """Reject a run-length encoded BMP.

    Pillow pads the rows in Python, and an escape code may skip 255 rows of any width. One file of 1 kB took 4.9 GB of
    memory, another took 12 s.

    Args:
        image: an opened image whose pixels are not decoded yet.

    Raises:
        UnreadableImage: the image is a run-length encoded BMP.
    """
    if isinstance(image, BmpImageFile) and any(tile.codec_name == "bmp_rle" for tile in image.tile):
        raise UnreadableImage("the BMP is run-length encoded, which is not supported; save it as PNG")


def _count_scans(body: Body) -> int:
    """Count the start-of-scan markers; an appended video may contain some by chance."""
    return len(_SCAN.findall(body))


def _count_gif_blocks(body: Body) -> int:
    """Count the blocks before a GIF's first frame, up to the limit."""
    blocks = 0
    with suppress(IndexError):  # incomplete: Pillow raises an error
        at = 13 + (6 << (body[10] & 7) if body[10] & 0x80 else 0)  # after header, screen descriptor and palette
        while body[at] not in b",;" and blocks <= _GIF_BLOCKS:  # a frame or the end of the file
            at, blocks = at + 1, blocks + 1
            if body[at - 1] == ord("!"):  # extension: a label, then blocks with a length prefix
                at += 1
                while body[at] and blocks <= _GIF_BLOCKS:
                    at, blocks = at + 1 + body[at], blocks + 1
                at += 1
    return blocks
