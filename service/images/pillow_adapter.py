"""Everything that the service uses of Pillow's internals; docs/dependencies.md lists the tested versions.

Two methods whose cost is quadratic in the size of the metadata are replaced when this module is imported. Pillow parses
directories of tags in many places, and all of them call one of these two.
"""

import io
from typing import IO, cast

from PIL import Image
from PIL.Image import core  # type: ignore[attr-defined]  # Pillow's C functions
from PIL.TiffImagePlugin import ImageFileDirectory_v2

EXIF_PREFIX = b"Exif\0\0"


def decode_png_rows(mode: str, size: tuple[int, int], data: bytes) -> bytes:
    """Return the pixels of the rows of a PNG, which are filtered and compressed with zlib.

    ``Image.frombytes`` and ``tobytes`` give the same and take 10 instead of 4 µs for an image of MNIST.

    Args:
        mode: L or RGB.
        size: width and height.
        data: content of the IDAT chunk.

    Raises:
        ValueError: the data is damaged or incomplete.
    """
    box = (0, 0, *size)
    pixels = core.new(mode, size)
    decoder = core.zip_decoder(mode, mode)
    decoder.setimage(pixels, box)
    position, error = decoder.decode(data)
    if position >= 0 or error:  # a position: the decoder expects more data
        raise ValueError("damaged or incomplete rows")
    encoder = core.raw_encoder(mode, mode)
    encoder.setimage(pixels, box)
    parts, is_over = [], 0
    while not is_over:
        _, is_over, part = encoder.encode(len(mode) * size[0] * size[1])
        parts.append(part)
    return b"".join(parts)


class _ReadLimitedFile:
    """File from which at most its own length in bytes can be read in total."""

    def __init__(self, file: IO[bytes]) -> None:
        at = file.tell()
        self.left = file.seek(0, io.SEEK_END)
        file.seek(at)
        self.tell, self.seek, self._read = file.tell, file.seek, file.read

    def read(self, count: int) -> bytes:
        self.left -= count
        if self.left < 0:
            raise OSError("the tags claim more bytes than the file has")
        return self._read(count)


_load_directory, _load_exif = ImageFileDirectory_v2.load, Image.Exif.load


def _load_with_read_limit(self: ImageFileDirectory_v2, fp: IO[bytes]) -> None:
    """Limit the total number of bytes read.

    Pillow copies the bytes of every tag, and many tags may share the same bytes.
    """
    _load_directory(self, cast("IO[bytes]", _ReadLimitedFile(fp)))


def _load_without_prefixes(self: Image.Exif, data: bytes) -> None:
    """Strip all prefixes at once.

    Pillow strips them one by one and copies the rest each time.
    """
    at = 0
    while data.startswith(EXIF_PREFIX, at):
        at += len(EXIF_PREFIX)
    _load_exif(self, data[at:])


ImageFileDirectory_v2.load = _load_with_read_limit  # type: ignore[method-assign]
Image.Exif.load = _load_without_prefixes  # type: ignore[method-assign]
