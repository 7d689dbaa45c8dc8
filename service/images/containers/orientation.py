"""Orientation of a picture, as stored in EXIF or XMP metadata."""

import re
import struct

_ORIENTATION = 0x0112
_MAX_TAGS = 512  # of the first directory; cameras write about 20
_PREFIX = re.compile(rb"(?:Exif\0\0)*")
_FORMATS = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG
_XMP = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")


def read_exif(exif: bytes) -> int:
    """Return the orientation, 1..8, of a block of EXIF; 1 if it has none or is damaged."""
    prefix = _PREFIX.match(exif)
    block = exif[prefix.end() :] if prefix else exif
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        entries = block[start + 2 : start + 2 + 12 * min(count, _MAX_TAGS)]
        for tag, kind, _, value in struct.iter_unpack(f"{order}HHI4s", entries[: len(entries) // 12 * 12]):
            if tag == _ORIENTATION and kind in _FORMATS:
                (orientation,) = struct.unpack_from(f"{order}{_FORMATS[kind]}", value)
                return orientation if 1 <= orientation <= 8 else 1
    except struct.error:
        pass
    return 1


def read_xmp(xmp: bytes) -> int:
    """Return the orientation, 1..8, of an XMP packet; 1 if it has none."""
    found = _XMP.search(xmp)
    return int(found[1]) if found else 1
