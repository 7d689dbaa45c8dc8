"""JPEG: tables, frame and scans, without metadata."""

import re
import zlib
from io import BytesIO

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from service.images.containers.container import Container, check_sides
from service.images.containers.orientation import read_exif, read_xmp
from service.problems import UnreadableImage, UnsupportedImage

MAX_SEGMENTS = 2_000  # real files have a dozen, or a few hundred with colour profiles and depth maps
MAX_SCANS = 100  # encoders write up to 12, and 64 coefficients can be sent one by one
MAX_SCANNED_PIXELS = 1_000_000_000  # over all scans, about a second
END = b"\xff\xd9"

_FILLING = b"".join(bytes(range(7, 250, 9)) + bytes([0xFF, restart]) for restart in range(0xD0, 0xD8))
_DECODED_AGAIN = 3  # times, without an end marker: twice to see whether it is complete
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # no escaped byte, no fill byte, no restart
_SOS, _EOI, _COMMENT = 0xDA, 0xD9, 0xFE
_APP_KEPT = {0xE0, 0xEE}  # JFIF and Adobe say how the colours are coded
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}


def parse_jpeg(body: bytes, max_pixels: int) -> Container:
    """Return a JPEG without comments, metadata, fill bytes between segments, and bytes after its end.

    Raises:
        ImageTooLarge: the image has more than ``max_pixels``, or a longer side than MAX_SIDE.
        UnreadableImage: the file has more segments or scans than encoders write.
        UnsupportedImage: the samples do not have 8 bits.
    """
    parts, missing = [body[:2]], set(_APP_KEPT)
    at, scans, orientation, size = 2, 0, 1, (0, 0)
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(body, at)
        if scans:  # entropy-coded pixels
            parts.append(body[at : found.start() if found else len(body)])
        if found is None:
            break
        start, marker = found.start(), found[0][1]
        if marker == _EOI:
            break
        at = start + 2 + max(2, int.from_bytes(body[start + 2 : start + 4], "big"))
        segment = body[start:at]
        if marker == 0xE1 and orientation == 1:
            orientation = _read_orientation(segment[4:])
        if (marker == _COMMENT or 0xE0 <= marker <= 0xEF) and marker not in missing:
            continue
        missing.discard(marker)  # only the first counts
        parts.append(segment)
        scans += marker == _SOS
        if scans > MAX_SCANS:
            break
        if marker in _FRAMES and not any(size):
            size = int.from_bytes(segment[7:9], "big"), int.from_bytes(segment[5:7], "big")
            check_sides(*size, max_pixels)
            _check_coding(marker, bits=segment[4] if len(segment) > 4 else 0)
    else:
        raise UnreadableImage(f"the JPEG has over {MAX_SEGMENTS} segments; save it again")
    pixels, has_end = size[0] * size[1], found is not None
    passes = scans if has_end else scans * _DECODED_AGAIN
    if scans > MAX_SCANS or passes * pixels > MAX_SCANNED_PIXELS:
        raise UnreadableImage(
            f"the JPEG has over {scans - 1} scans of {pixels} pixels, expected at most {MAX_SCANS} scans and "
            f"{MAX_SCANNED_PIXELS} pixels over all scans; save it again with at most 12 scans"
        )
    if has_end:
        parts.append(END)
    image = b"".join(parts) if has_end else b"".join(parts).rstrip(b"\xff")
    return Container(
        body=image, width=size[0], height=size[1], orientation=orientation, passes=max(1, passes), has_end=has_end
    )


def is_complete(body: bytes, *, draft_side: int | None) -> bool:
    """Return whether a JPEG without its end marker has all pixels.

    After the last pixel a decoder skips bytes until the end marker. So bytes in front of that marker change the picture
    if and only if pixels are missing.

    Args:
        body: a JPEG that ends before its end marker.
        draft_side: see :func:`models.preparation.preparer.draft_side`.
    """
    checksums = set[int]()
    for end in (END, _FILLING + END):
        image = JpegImageFile(BytesIO(body + end))
        if draft_side is not None:
            image.draft(None, (draft_side, draft_side))
        checksums.add(zlib.crc32(np.asarray(image).data))
    return len(checksums) == 1


def _check_coding(marker: int, *, bits: int) -> None:
    if bits != 8:
        raise UnsupportedImage(f"the JPEG has samples of {bits} bits, expected 8; save it again or send PNG")
    if marker in _ARITHMETIC:
        raise UnreadableImage("the JPEG has arithmetic coding, which is not supported; save it as PNG")


def count_scans(data: bytes | memoryview) -> int:
    """Count the start-of-scan markers."""
    return len(re.findall(rb"\xff\xda", data))


def _read_orientation(content: bytes) -> int:
    if content.startswith(_EXIF):
        return read_exif(content)
    if content.startswith(_XMP):
        return read_xmp(content)
    return 1
