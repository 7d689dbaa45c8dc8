"""Fast decoder of plain PNG files.

A plain file has a header, one chunk of 8-bit grey or RGB pixels and an end. Most clients send such files. Pillow's
plugin parses the chunks in Python, which is most of the decoding cost of a small image. This module passes the pixels
of a plain file directly to the same decoder.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from service.images.pillow_adapter import decode_png_rows

Pixels = NDArray[np.uint8]

_BEGIN = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 13, b"IHDR")
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_REST = struct.Struct(">II5sII4s")  # width, height, kind, checksum; length and name of the next chunk
_PIXELS = len(_BEGIN) + _REST.size
_AFTER = 4 + len(_END)  # the checksum of the pixels, which no decoder checks, and the end
_MODES = {b"\x08\x00\x00\x00\x00": "L", b"\x08\x02\x00\x00\x00": "RGB"}  # depth, colour type; not interlaced


def decode_plain_png(body: bytes, *, max_pixels: int) -> Pixels | None:
    """Decode a plain PNG of at most ``max_pixels``: (H, W) or (H, W, 3) uint8.

    Return None for any other file, which needs Pillow's plugin.
    """
    if not (body.startswith(_BEGIN) and body.endswith(_END) and len(body) > _PIXELS + _AFTER):
        return None
    width, height, kind, checksum, length, name = _REST.unpack_from(body, len(_BEGIN))
    mode = _MODES.get(kind, "")
    if not mode or name != b"IDAT" or length != len(body) - _PIXELS - _AFTER:
        return None
    if not 0 < width * height <= max_pixels or checksum != zlib.crc32(body[12:29]):
        return None
    try:
        pixels = decode_png_rows(mode, (width, height), body[_PIXELS:-_AFTER])
    except Exception:  # damaged: the plugin reports the cause
        return None
    shape = (height, width) if mode == "L" else (height, width, 3)
    return np.frombuffer(pixels, np.uint8).reshape(shape)
