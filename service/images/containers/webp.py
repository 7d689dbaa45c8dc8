"""WebP: the pixels of the image, or of the first frame of an animation."""

import struct
from collections.abc import Iterator

from service.images.containers.container import Container, check_sides
from service.images.containers.orientation import read_exif, read_xmp
from service.problems import UnreadableImage

MAX_CHUNKS = 10_000  # an animation has one per frame
_ANIMATION, _ALPHA = 0x02, 0x10  # flags of an extended file
_IMAGE = {b"VP8 ", b"VP8L", b"ALPH", b"ANMF"}


def parse_webp(body: bytes, max_pixels: int) -> Container:
    """Return a WebP without metadata and with at most one frame.

    Raises:
        ImageTooLarge: the image has more than ``max_pixels``, or a longer side than MAX_SIDE.
        UnreadableImage: the file has no pixels, or more chunks than encoders write.
    """
    kept, orientation, header = dict[bytes, bytes](), 1, b""
    for name, content in _chunks(body):
        if name == b"EXIF" and orientation == 1:
            orientation = read_exif(content)
        elif name == b"XMP " and orientation == 1:
            orientation = read_xmp(content)
        elif name == b"VP8X":
            header = header or content
        elif name == b"ANIM" or name in _IMAGE:
            kept.setdefault(name, content)
    if not header:
        name = b"VP8 " if b"VP8 " in kept else b"VP8L"
        if name not in kept:
            raise UnreadableImage("the WebP cannot be decoded: it has no image; send the complete, undamaged file")
        width, height = _simple_size(name, kept[name])
        check_sides(width, height, max_pixels)
        return Container(body=_file({name: kept[name]}), width=width, height=height, orientation=orientation)
    width, height = (1 + int.from_bytes(header[at : at + 3], "little") for at in (4, 7))
    check_sides(width, height, max_pixels)
    is_animated = b"ANMF" in kept
    order = (b"ANIM", b"ANMF") if is_animated else (b"ALPH", b"VP8 ", b"VP8L")
    flags = header[0] & (_ALPHA | (_ANIMATION if is_animated else 0))
    chunks = {b"VP8X": bytes([flags]) + header[1:]} | {name: kept[name] for name in order if name in kept}
    return Container(body=_file(chunks), width=width, height=height, orientation=orientation)


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of each chunk; the last may be incomplete."""
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(body):
            return
        name, length = struct.unpack_from("<4sI", body, at)
        yield name, body[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)
    raise UnreadableImage(f"the WebP has over {MAX_CHUNKS} chunks; save it again")


def _simple_size(name: bytes, content: bytes) -> tuple[int, int]:
    """Return the width and height of a file without an extended header."""
    if name == b"VP8L":
        bits = int.from_bytes(content[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(content[6:8], "little") & 0x3FFF, int.from_bytes(content[8:10], "little") & 0x3FFF


def _file(chunks: dict[bytes, bytes]) -> bytes:
    parts = [b"WEBP"]
    for name, content in chunks.items():
        parts += struct.pack("<4sI", name, len(content)), content, bytes(len(content) & 1)
    content = b"".join(parts)
    return struct.pack("<4sI", b"RIFF", len(content)) + content
