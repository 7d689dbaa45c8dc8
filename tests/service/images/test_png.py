import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.images.decoder import decode_picture, open_image
from service.images.png import decode_plain_png
from service.problems import Problem

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

NOISE = np.random.default_rng(0).integers(0, 256, (21, 30, 3), dtype=np.uint8)
RAMP = np.add.outer(np.arange(21), np.arange(30)).astype(np.uint8)
PICTURES = [Image.fromarray(pixels) for pixels in (NOISE, NOISE[:, :, 0], RAMP, RAMP[:1, :1])]


def encode(picture, **options):
    stream = io.BytesIO()
    picture.save(stream, "PNG", **options)
    return stream.getvalue()


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width, height, *, depth=8, color=0, interlaced=0, runs):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    body = b"".join(chunk(b"IDAT", run) for run in runs)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def read(body, *, max_pixels=1000):
    return decode_plain_png(body, max_pixels=max_pixels)


def read_by_plugin(body):
    return decode_picture(open_image(body, max_pixels=1000))


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("level", [0, 6, 9])
def test_plain_png_has_the_same_pixels_as_with_pillow(picture, level):
    found = read(encode(picture, compress_level=level))
    assert found.shape == np.asarray(picture).shape
    assert np.array_equal(found, picture)


def described():
    text = PngInfo()
    text.add_text("Title", "a digit")
    return text


NOT_PLAIN = {
    "empty": b"",
    "text": encode(PICTURES[0], pnginfo=described()),
    "transparent": encode(PICTURES[0], transparency=(1, 2, 3)),
    "alpha": encode(PICTURES[0].convert("RGBA")),
    "palette": encode(PICTURES[0].quantize(16)),
    "bit": encode(PICTURES[1].convert("1")),
    "wide": encode(PICTURES[1].convert("I;16")),
    "more": encode(PICTURES[1]) + b"more",
    "cut": encode(PICTURES[1])[:-1],
    "endless": encode(PICTURES[1])[:-12] + chunk(b"tIME", b""),
    "interlaced": png(1, 1, interlaced=1, runs=[zlib.compress(b"\0\7")]),
    "parts": png(1, 1, runs=[zlib.compress(b"\0\7")[:5], zlib.compress(b"\0\7")[5:]]),
    "short": png(1, 2, runs=[zlib.compress(b"\0\7\0\7")[:-7]]),
    "flat": png(1, 0, runs=[zlib.compress(b"\0\7")]),
}


@pytest.mark.parametrize("body", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_other_files_are_not_decoded(body):
    assert read(body) is None


def test_pixel_limit_applies_to_the_header():
    bomb = png(2**31, 2**31, runs=[zlib.compress(bytes(1000))])
    assert read(bomb) is None
    assert read(encode(PICTURES[1]), max_pixels=21 * 30 - 1) is None
    assert read(encode(PICTURES[1]), max_pixels=21 * 30) is not None


@settings(max_examples=500)
@given(
    st.sampled_from(PICTURES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3),
)
def test_damaged_png_decodes_as_with_the_plugin_or_not_at_all(picture, changes):
    body = bytearray(encode(picture))
    for position, value in changes:
        body[position % len(body)] = value
    if (quick := read(bytes(body))) is None:
        return
    try:
        slow = read_by_plugin(bytes(body))
    except Problem as problem:
        pytest.fail(f"the plugin rejects the file: {problem.detail}")
    assert quick.shape == np.asarray(slow).shape
    assert np.array_equal(quick, slow)
