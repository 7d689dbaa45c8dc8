"""Encoded images for decoder tests, and their pixels."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from service.images.decoder import decode_picture, open_image

COLORS = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 31, 4), dtype=np.uint8))
PHOTO = Image.effect_noise((640, 480), 60)
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def encode(picture, file_format="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def decode(body, *, max_pixels=1_000_000, draft_side=None):
    return decode_picture(open_image(body, max_pixels=max_pixels), draft_side=draft_side)


def pixels_of(body):
    return np.asarray(decode(body))


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def directory(size, *, orientation=6, tags=500):
    """Return a TIFF directory with an orientation and many private tags.

    All private tags point to the same ``size`` bytes after the directory.
    """
    end = 8 + 2 + 12 * (tags + 1) + 4
    entries = [struct.pack("<HHII", 0x0112, 3, 1, orientation)]
    entries += [struct.pack("<HHII", 0xC000 + number, 7, size, end) for number in range(tags)]
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + b"".join(entries) + bytes(4 + size)


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_chunks(*chunks):
    png = encode(PHOTO, "PNG")
    at = png.index(b"IDAT") - 4
    return png[:at] + b"".join(chunks) + png[at:]


def with_exif(exif, file_format):
    if file_format == "PNG":
        return with_chunks(chunk(b"eXIf", exif))
    return encode(PHOTO, file_format, exif=b"Exif\0\0" + exif)
