"""PNG: header, palette, transparency and pixels of the default image."""

import struct
import zlib

from service.images.containers.container import Container, check_sides
from service.images.containers.orientation import read_exif, read_xmp
from service.problems import UnreadableImage

MAX_CHUNKS = 10_000  # encoders write the pixels in chunks of 8 KiB or more
_MAX_TEXT = 256 * 1024  # inflated bytes of an EXIF block stored as text
_SIGNATURE, _IEND = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_PASSES = (1.0, 1.5)  # not interlaced, interlaced
_RAW_PROFILE, _XMP = b"Raw profile type exif\0", b"XML:com.adobe.xmp\0"


def parse_png(body: bytes, max_pixels: int) -> Container:
    """Return a PNG with the chunks that its pixels need.

    Chunks after the end are left out, and an animated PNG becomes its default image.

    Raises:
        ImageTooLarge: the image has more than ``max_pixels``, or a longer side than MAX_SIDE.
        UnreadableImage: the header is missing, or the file has more chunks than encoders write.
    """
    if body[12:16] != b"IHDR" or len(body) < 33:
        raise UnreadableImage("the PNG cannot be decoded: it has no header; send the complete, undamaged file")
    width, height, _, _, _, _, interlaced = struct.unpack_from(">IIBBBBB", body, 16)
    check_sides(width, height, max_pixels)
    head, data, orientation = [body[:33]], list[bytes](), 1
    at, is_plain, has_end = 33, True, False
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(body):
            break
        length, name = struct.unpack_from(">I4s", body, at)
        end = at + 12 + length
        if name == b"IDAT":
            data.append(body[at + 8 : end - 4])
        elif name == b"IEND":
            has_end = True
            is_plain &= end == len(body)
            break
        elif name in {b"PLTE", b"tRNS"} and not data:
            head.append(body[at:end])
        else:
            is_plain = False
            if orientation == 1:
                orientation = _read_orientation(name, body[at + 8 : end - 4])
        at = end
    else:
        raise UnreadableImage(f"the PNG has over {MAX_CHUNKS} chunks; save it again")
    if not (is_plain and has_end and len(data) == 1):
        pixels = b"".join(data)
        checksum = zlib.crc32(pixels, zlib.crc32(b"IDAT"))
        body = b"".join((*head, struct.pack(">I4s", len(pixels), b"IDAT"), pixels, struct.pack(">I", checksum), _IEND))
    passes = _PASSES[interlaced != 0]
    return Container(body=body, width=width, height=height, orientation=orientation, passes=passes)


def _read_orientation(name: bytes, content: bytes) -> int:
    """Return the orientation in a chunk of metadata."""
    if name == b"eXIf":
        return read_exif(content)
    if name in {b"tEXt", b"zTXt"} and content.startswith(_RAW_PROFILE):  # as ImageMagick writes it
        text = content[len(_RAW_PROFILE) :]
        if name == b"zTXt":
            text = _inflate(text[1:])
        try:
            return read_exif(bytes.fromhex("".join(text[:_MAX_TEXT].decode("ascii").split("\n")[3:])))
        except ValueError:
            return 1
    if name == b"iTXt" and content.startswith(_XMP):
        return read_xmp(content)
    return 1


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _MAX_TEXT)
    except zlib.error:
        return b""
