"""TIFF and BigTIFF: the tags that pixels need, of the first image."""

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.images.containers.container import Container, check_sides
from service.images.containers.jpeg import MAX_SCANNED_PIXELS, count_scans
from service.problems import UnreadableImage, UnsupportedImage

MAX_TAGS = 4_096  # of the first directory; cameras and scanners write about 50
MAX_PARTS = 20_000  # strips or tiles
_READ_TWICE = 2  # bytes of all strips or tiles, per byte of the file; some writers round them up
_MAX_VALUES = 3 * 65_536  # of any other tag: a palette of 16-bit indices

_WIDTH, _HEIGHT, _COMPRESSION, _STRIPS, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 256, 257, 259, 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
# Also bits, photometric interpretation, fill order, orientation, fax options, predictor, palette, extra samples, sample
# format, JPEG tables, and chroma coefficients, subsampling, position and range.
_KEPT = {_WIDTH, _HEIGHT, 258, _COMPRESSION, 262, 266, _STRIPS, 274, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR, 292, 293}
_KEPT |= {317, 320, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, 338, 339, 347, 529, 530, 531, 532}
_TYPES = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u8", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "u8", 11: "f4", 12: "f8"}
_TYPES |= {13: "u4", 16: "u8", 17: "i8", 18: "u8"}
_JPEG = 7
_COMPRESSIONS = {1, 2, 3, 4, 5, _JPEG, 8, 32773, 32946, 34925, 50000}
_COMPRESSION_NAMES = "none, CCITT, LZW, JPEG, Deflate, PackBits, LZMA or Zstandard"


@dataclass(slots=True, frozen=True)
class _Tag:
    """An entry of the directory, and where its values are."""

    entry: bytes
    dtype: str
    count: int
    at: int


def parse_tiff(body: bytes, max_pixels: int) -> Container:
    """Return a TIFF with one directory, of the tags that its pixels need.

    Raises:
        ImageTooLarge: the image has more than ``max_pixels``, with its padding, or a longer side than MAX_SIDE.
        UnreadableImage: the directory is damaged, or it has more tags, strips or tiles than its size needs.
        UnsupportedImage: the compression is not supported.
    """
    order = "<" if body[:2] == b"II" else ">"
    is_big = body[2:4] in (b"+\0", b"\0+")
    try:
        tags = _read_directory(body, order, is_big=is_big)
        width, height, passes = _check(body, tags, max_pixels)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise UnreadableImage(
            f"the TIFF cannot be decoded: damaged directory ({error}); send the complete, undamaged file"
        ) from None
    at = len(body) + len(body) % 2
    number, offset = (f"{order}Q", f"{order}Q") if is_big else (f"{order}H", f"{order}I")
    entries = b"".join(tags[tag].entry for tag in sorted(tags))
    header = body[:8] + struct.pack(offset, at) if is_big else body[:4] + struct.pack(offset, at)
    directory = struct.pack(number, len(tags)) + entries + struct.pack(offset, 0)
    rest = body[len(header) :] + bytes(at - len(body))
    return Container(
        body=header + rest + directory, width=width, height=height, orientation=None, passes=passes
    )  # Pillow's plugin rotates


def _read_directory(body: bytes, order: str, *, is_big: bool) -> dict[int, _Tag]:
    """Return the first directory's tags that pixels need; a repeated tag counts once."""
    number, entry, offset = ("Q", "HHQ", "Q") if is_big else ("H", "HHI", "I")
    size, inline = (20, 8) if is_big else (12, 4)
    (start,) = struct.unpack_from(order + offset, body, 8 if is_big else 4)
    (count,) = struct.unpack_from(order + number, body, start)
    if count > MAX_TAGS:
        raise UnreadableImage(f"the TIFF has {count} tags, expected at most {MAX_TAGS}; save it again")
    first = start + struct.calcsize(order + number)
    tags = dict[int, _Tag]()
    for at in range(first, first + count * size, size):
        tag, kind, values = struct.unpack_from(order + entry, body, at)
        if tag not in _KEPT or tag in tags or kind not in _TYPES:
            continue
        dtype, where = order + _TYPES[kind], at + size - inline
        length = values * np.dtype(dtype).itemsize
        if length > inline:
            (where,) = struct.unpack_from(order + offset, body, where)
        if where + length > len(body):
            raise ValueError(f"tag {tag} ends after the file")
        tags[tag] = _Tag(body[at : at + size], dtype, values, where)
    return tags


def _values(body: bytes, tag: _Tag) -> NDArray[np.int64]:
    return np.frombuffer(body, tag.dtype, tag.count, tag.at).astype(np.int64)


def _check(body: bytes, tags: dict[int, _Tag], max_pixels: int) -> tuple[int, int, float]:
    """Check sizes, strips and tiles; return the width, the height and how often each pixel is decoded."""
    for number, tag in tags.items():
        if number not in {_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES} and tag.count > _MAX_VALUES:
            raise UnreadableImage(f"tag {number} of the TIFF has {tag.count} values; save it again")

    def read(number: int, default: int | None = None) -> int:
        if number not in tags and default is not None:
            return default
        if number not in tags or not tags[number].count:
            raise ValueError(f"no tag {number}")
        return int(_values(body, tags[number])[0])

    width, height, compression = read(_WIDTH), read(_HEIGHT), read(_COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise UnsupportedImage(f"the TIFF has compression {compression}, expected {_COMPRESSION_NAMES}; send PNG")
    is_tiled = _STRIPS not in tags
    offsets, byte_counts = (_TILES, _TILE_BYTES) if is_tiled else (_STRIPS, _STRIP_BYTES)
    part_width = read(_TILE_WIDTH) if is_tiled else width
    part_height = read(_TILE_HEIGHT) if is_tiled else min(read(_ROWS, height), height)
    if min(width, height, part_width, part_height) < 1 or offsets not in tags:
        raise ValueError("a size of zero or less, or no pixels")
    check_sides(width, height, max_pixels)
    columns, rows = math.ceil(width / part_width), math.ceil(height / part_height)
    if is_tiled:
        check_sides(part_width, part_height, max_pixels)
        check_sides(columns * part_width, rows * part_height, max_pixels)
    parts = columns * rows * (read(_SAMPLES, 1) if read(_PLANAR, 1) == 2 else 1)
    count = max(tags[tag].count for tag in (offsets, byte_counts) if tag in tags)
    if count > min(parts, MAX_PARTS):
        limit = min(parts, MAX_PARTS)
        raise UnreadableImage(f"the TIFF has {count} strips or tiles, expected at most {limit}; save it again")
    passes = columns * part_width * rows * part_height / (width * height)
    if byte_counts not in tags:
        return width, height, passes
    starts, lengths = _values(body, tags[offsets]), _values(body, tags[byte_counts])
    if lengths.min() < 0 or lengths.sum() > _READ_TWICE * len(body):
        raise UnreadableImage(
            f"the TIFF cannot be decoded: its strips or tiles have {lengths.sum()} bytes, the file has {len(body)}; "
            "send the complete, undamaged file"
        )
    if compression == _JPEG:
        places = zip(starts.tolist(), lengths.tolist(), strict=False)
        passes *= max(1, *(count_scans(body[start : start + length]) for start, length in places))
        if passes * width * height > MAX_SCANNED_PIXELS:
            raise UnreadableImage("the JPEG strips or tiles of the TIFF have too many scans; save it again")
    return width, height, passes
