"""AVIF and HEIF: the primary image of an ISO base media file (ISO/IEC 14496-12 and 23008-12)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from service.images.containers.container import Container, check_sides
from service.images.containers.video_frames import count_av1_pixels, count_hevc_pixels
from service.problems import ImageTooLarge, UnreadableImage

MAX_BOXES = 10_000  # phones write a few hundred, one or two per tile
MAX_ITEMS = 1_000  # phones write a tile of 512 x 512 pixels each
_ALL_ITEMS = 3  # pixels of tiles, alpha and previews, per pixel of the largest image

_AVIF = {b"avif", b"avis"}
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def find_brand(start: bytes) -> str | None:
    """Return AVIF or HEIF by the brands in the first box of a file, else None."""
    if start[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(start[:4], "big"), len(start))
    brands = {start[8:12], *(start[at : at + 4] for at in range(16, end - 3, 4))}
    return "AVIF" if brands & _AVIF else "HEIF" if brands & _HEIF else None


@dataclass(slots=True)
class _Items:
    """The images in a file, by number."""

    kinds: dict[int, bytes] = field(default_factory=dict)
    places: dict[int, list[tuple[bool, int, int]]] = field(default_factory=dict)  # in the box idat, start, length
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    associations: dict[int, list[int]] = field(default_factory=dict)  # item -> its properties, from 1
    data: bytes = b""  # of the box idat
    primary: int = 0


def parse_heif(body: bytes, max_pixels: int) -> Container:
    """Return an AVIF or HEIF without its animation.

    The size of each image is checked in the header and in the coded data. The decoder applies the rotation.

    Raises:
        ImageTooLarge: an image has more than ``max_pixels`` or a longer side than MAX_SIDE, or all have several times
            as many.
        UnreadableImage: the file is damaged, or has more boxes or images than phones write.
    """
    try:
        top = [(name, start, end) for name, start, end in _boxes(body, 0, len(body))]
        meta = next(((start, end) for name, start, end in top if name == b"meta"), None)
        if meta is None:
            raise ValueError("it has no still image")
        items = _read_items(body, *meta)
        width, height = _check(body, items, max_pixels)
    except (struct.error, ValueError, IndexError) as error:
        raise UnreadableImage(
            f"the AVIF or HEIF cannot be decoded: {error}; send the complete, undamaged file"
        ) from None
    return Container(body=_without_animation(body, top), width=width, height=height, orientation=None)


def _boxes(body: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the content of each box."""
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", body, at)
        start = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", body, start)
            start += 8
        stop = at + size if size else end
        if stop < start:
            raise ValueError("a box has no end")
        yield name, start, min(stop, end)
        at = stop
    raise UnreadableImage(f"the AVIF or HEIF has over {MAX_BOXES} boxes; save it again")


def _read_items(body: bytes, start: int, end: int) -> _Items:
    items = _Items()
    for name, at, stop in _boxes(body, start + 4, end):
        if name == b"pitm":
            size = 4 if body[at] else 2
            items.primary = int.from_bytes(body[at + 4 : at + 4 + size], "big")
        elif name == b"iinf":
            for entry, first, _ in _boxes(body, at + (8 if body[at] else 6), stop):
                if entry == b"infe":
                    size = 4 if body[first] == 3 else 2
                    number = int.from_bytes(body[first + 4 : first + 4 + size], "big")
                    items.kinds[number] = body[first + 6 + size : first + 10 + size]
        elif name == b"iloc":
            items.places = _read_places(body, at)
        elif name == b"idat":
            items.data = body[at:stop]
        elif name == b"iprp":
            for group, first, last in _boxes(body, at, stop):
                if group == b"ipco":
                    items.properties = [(kind, body[a:b]) for kind, a, b in _boxes(body, first, last)]
                elif group == b"ipma":
                    items.associations |= _read_associations(body, first)
    if len(items.kinds) > MAX_ITEMS:
        raise UnreadableImage(f"the AVIF or HEIF has over {MAX_ITEMS} images; save it again")
    return items


class _Reader:
    """Reads unsigned integers in sequence."""

    def __init__(self, body: bytes, at: int) -> None:
        self._body, self._at = body, at

    def read(self, size: int) -> int:
        self._at += size
        if self._at > len(self._body):
            raise ValueError("a box is incomplete")
        return int.from_bytes(self._body[self._at - size : self._at], "big")


def _read_places(body: bytes, at: int) -> dict[int, list[tuple[bool, int, int]]]:
    """Return the places of the data of each item (box iloc)."""
    reader, places = _Reader(body, at), dict[int, list[tuple[bool, int, int]]]()
    version = reader.read(1)
    reader.read(3)
    sizes = reader.read(1)
    more_sizes = reader.read(1)
    for _ in range(_limited(reader.read(4 if version == 2 else 2))):
        number = reader.read(4 if version == 2 else 2)
        is_inside = version > 0 and reader.read(2) & 15 == 1
        reader.read(2)
        base = reader.read(more_sizes >> 4)
        extents = []
        for _ in range(_limited(reader.read(2))):
            if version > 0:
                reader.read(more_sizes & 15)
            start = base + reader.read(sizes >> 4)
            extents.append((is_inside, start, reader.read(sizes & 15)))
        places[number] = extents
    return places


def _read_associations(body: bytes, at: int) -> dict[int, list[int]]:
    """Return the properties of each item (box ipma)."""
    reader, associations = _Reader(body, at), dict[int, list[int]]()
    version = reader.read(1)
    size = 2 if reader.read(3) & 1 else 1
    for _ in range(_limited(reader.read(4))):
        number = reader.read(4 if version else 2)
        associations[number] = [reader.read(size) & (0x7FFF if size == 2 else 0x7F) for _ in range(reader.read(1))]
    return associations


def _limited(count: int) -> int:
    if count > MAX_ITEMS:
        raise UnreadableImage(f"the AVIF or HEIF has {count} images or parts, expected at most {MAX_ITEMS}")
    return count


def _check(body: bytes, items: _Items, max_pixels: int) -> tuple[int, int]:
    """Return the size of the primary image, and check the sizes of all."""
    size, total = (0, 0), 0
    for number, kind in items.kinds.items():
        own = [items.properties[index - 1] for index in items.associations.get(number, []) if index]
        stated = next((struct.unpack_from(">II", content, 4) for name, content in own if name == b"ispe"), (0, 0))
        check_sides(stated[0], stated[1], max_pixels)
        if number == items.primary:
            size = stated
        if kind not in {b"av01", b"hvc1", b"hev1"}:
            continue
        data = _data(body, items, number)
        if kind == b"av01":
            total += count_av1_pixels(data)
        else:
            total += count_hevc_pixels(next((content for name, content in own if name == b"hvcC"), b""), data)
        if total > _ALL_ITEMS * max_pixels:
            raise ImageTooLarge(
                f"the images in the AVIF or HEIF have over {total} pixels together, expected at most "
                f"{_ALL_ITEMS * max_pixels}"
            )
    if not all(size):
        raise ValueError("its image has no size")
    return size


def _data(body: bytes, items: _Items, number: int) -> bytes:
    parts, left = list[bytes](), len(body)
    for is_inside, start, length in items.places.get(number, []):
        source = items.data if is_inside else body
        part = source[start : start + length] if length else source[start:]
        left -= len(part)
        if left < 0:
            raise ValueError("its images overlap")
        parts.append(part)
    return b"".join(parts)


def _without_animation(body: bytes, top: list[tuple[bytes, int, int]]) -> bytes:
    """Return the file with its tracks marked as unused, so that the primary image is decoded."""
    tracks = [start - 4 for name, start, _ in top if name == b"moov"]
    if not tracks:
        return body
    changed = bytearray(body)
    for before in tracks:
        at = changed.rindex(b"moov", 0, before + 4)
        changed[at : at + 4] = b"free"
    _, start, end = top[0]
    for sequence, still in ((b"avis", b"avif"), (b"msf1", b"mif1"), (b"hevc", b"heic")):
        changed[start:end] = changed[start:end].replace(sequence, still)
    return bytes(changed)
