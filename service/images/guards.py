"""What few bytes may cost Pillow before the first pixel: refused where it is out of proportion, else kept off the loop.

A file of ordinary size can repeat a block that is joined to all before it, let every tag of a directory point to the
same megabytes, inflate its texts a thousandfold, or pass over all its pixels again and again.
"""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, cast

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from service.problems import BodyTooLarge, UnreadableImage

Body = bytes | bytearray | memoryview

_EXIF = b"Exif\0\0"
_GIF_BLOCKS = 10_000  # before the first frame; real files have a few, or some hundred with an ICC profile
_EXIF_BLOCKS = 100  # real files have one, and one in each preview
_EXIF_BLOCK, _SCAN = re.compile(_EXIF), re.compile(rb"\xff\xda")  # faster than bytes.count, and take any buffer
_SCANNED_PIXELS = 5_000_000_000  # over all scans of a JPEG, some seconds; real files have a dozen scans
_INLINE_SCANS = 20  # of a small image, which take less than a millisecond
_COSTLY_BLOCKS: Mapping[bytes, Sequence[bytes]] = {  # by how a file begins: directories, and what is deflated
    b"\xff\xd8": (b"Exif",),
    b"\x89P": (b"eXIf", b"iCCP", b"iTXt", b"zTXt"),
    b"RI": (b"EXIF",),
    b"II": (b"II",),  # TIFF: its directory may be all there is of it
    b"MM": (b"MM",),
}


def is_costly(body: bytes) -> bool:
    """Tell whether a small file might hold up the event loop by more than its size."""
    beginning = body[:2]
    if any(name in body for name in _COSTLY_BLOCKS.get(beginning, ())):
        return True
    return beginning == b"\xff\xd8" and _count_scans(body) > _INLINE_SCANS


def check_size(image: bytes, limit: int) -> None:
    """Hold an image to the limit on its bytes.

    Raises:
        BodyTooLarge: it is longer.
    """
    if len(image) > limit:
        raise BodyTooLarge(f"the image has {len(image)} bytes, expected at most {limit}")


def check_blocks(body: Body) -> None:
    """Refuse what Pillow would join block by block, in quadratic time.

    Raises:
        UnreadableImage: a GIF or JPEG has more such blocks than a real one.
    """
    if body[:4] == b"GIF8" and _count_gif_blocks(body) > _GIF_BLOCKS:
        raise UnreadableImage(f"the GIF has over {_GIF_BLOCKS} blocks before its first frame; save it anew")
    if body[:2] == b"\xff\xd8" and len(_EXIF_BLOCK.findall(body)) > _EXIF_BLOCKS:
        raise UnreadableImage(f"the JPEG has over {_EXIF_BLOCKS} blocks of EXIF; save it anew")


def check_scans(body: Body, num_pixels: int) -> None:
    """Refuse a JPEG whose scans, each of a few bytes, would all have to pass over ``num_pixels``.

    Raises:
        UnreadableImage: there are more than any encoder writes.
    """
    scans = _count_scans(body)
    if scans * num_pixels > _SCANNED_PIXELS:
        raise UnreadableImage(f"the JPEG has {scans} scans of {num_pixels} pixels; save it anew, with a dozen at most")


def check_run_lengths(image: Image.Image) -> None:
    """Refuse a run-length encoded BMP: Pillow pads its rows in Python, and an escape may skip 255 rows of any width.

    A file of 1 kB took 4.9 GB of memory, another 12 s.

    Args:
        image: as opened; its pixels are not decoded yet.

    Raises:
        UnreadableImage: the image is a run-length encoded BMP.
    """
    if isinstance(image, BmpImageFile) and any(tile.codec_name == "bmp_rle" for tile in image.tile):
        raise UnreadableImage("the BMP is run-length encoded, which is not supported; save it as PNG")


def _count_scans(body: Body) -> int:
    """Count the marker that begins a scan; a film that follows the picture in its file may hold some by chance."""
    return len(_SCAN.findall(body))


def _count_gif_blocks(body: Body) -> int:
    """Count what Pillow reads before a GIF's first frame, no further than needed: comments cost it quadratic time."""
    blocks = 0
    with suppress(IndexError):  # cut off: Pillow will say so
        at = 13 + (6 << (body[10] & 7) if body[10] & 0x80 else 0)  # header, screen, palette
        while body[at] not in b",;" and blocks <= _GIF_BLOCKS:  # a frame, or the end
            at, blocks = at + 1, blocks + 1
            if body[at - 1] == ord("!"):  # an extension: its label, then blocks that begin with their length
                at += 1
                while body[at] and blocks <= _GIF_BLOCKS:
                    at, blocks = at + 1 + body[at], blocks + 1
                at += 1
    return blocks


class _Metered:
    """A file of which no more can be read, all in all, than it is long."""

    def __init__(self, file: IO[bytes]) -> None:
        at = file.tell()
        self.left = file.seek(0, io.SEEK_END)
        file.seek(at)
        self.tell, self.seek, self._read = file.tell, file.seek, file.read

    def read(self, count: int) -> bytes:
        self.left -= count
        if self.left < 0:
            raise OSError("the tags hold more than the file")
        return self._read(count)


_load_directory, _load_exif = ImageFileDirectory_v2.load, Image.Exif.load


def _load_no_more_than_there_is(self: ImageFileDirectory_v2, fp: IO[bytes]) -> None:
    """Pillow keeps a copy of the bytes of every tag, many of which may be the same in the file."""
    _load_directory(self, cast("IO[bytes]", _Metered(fp)))


def _load_without_beginnings(self: Image.Exif, data: bytes) -> None:
    """Pillow takes off one beginning after the other, and copies the rest each time."""
    at = 0
    while data.startswith(_EXIF, at):
        at += len(_EXIF)
    _load_exif(self, data[at:])


# A file's directories are read in many places of Pillow; these two are on the way to all of them.
ImageFileDirectory_v2.load = _load_no_more_than_there_is  # type: ignore[method-assign]
Image.Exif.load = _load_without_beginnings  # type: ignore[method-assign]
