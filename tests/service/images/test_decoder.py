"""Formats, limits and damaged files."""

import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.encoded_images import COLORS, RAMP, decode, encode, pixels_of, turned
from support.paths import IMAGES, ROOT

from benchmarks.hostile_files import tiff
from service.images.decoder import decode_picture, open_image
from service.problems import ImageTooLarge, Problem, UnreadableImage, UnsupportedImage

# Pillow's warnings about damaged files would be errors here and would hide the service's result.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

FILES = sorted(path for path in IMAGES.iterdir() if path.suffix != ".md")


def outcome(body, *, draft_side=None):
    """Return the mode of the picture or the status of the problem."""
    try:
        return decode(body, max_pixels=100_000, draft_side=draft_side).mode
    except Problem as problem:
        return problem.status


def png_header(width, height, *, data=b""):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data)


def encodings():
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield encode(Image.fromarray(RAMP.astype(np.uint16)) if mode == "I;16" else COLORS.convert(mode))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F"):
        picture = COLORS.convert("L").convert(mode) if mode in ("I", "F") else COLORS.convert("RGB").convert(mode)
        yield encode(picture, "TIFF", compression="tiff_lzw" if mode != "F" else None)
        yield encode(picture, "TIFF")
    for mode in ("L", "RGB", "CMYK"):
        yield encode(COLORS.convert(mode), "JPEG", exif=turned(6))
        yield encode(COLORS.convert(mode), "JPEG", progressive=True)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield encode(COLORS.convert(mode), "BMP")
    yield encode(COLORS, "WEBP", lossless=True)
    yield encode(COLORS.convert("RGB"), "WEBP", exif=turned(3))
    yield encode(COLORS.convert("P"), "GIF", transparency=3)
    yield encode(COLORS.convert("P"), "GIF", save_all=True, append_images=[COLORS.rotate(90).convert("P")])
    yield encode(COLORS, "PNG", save_all=True, append_images=[COLORS.rotate(90)])
    yield encode(COLORS.convert("P"), transparency=bytes(range(256)))


ENCODINGS = list(encodings())


@pytest.mark.parametrize("body", ENCODINGS)
def test_every_format_and_mode_is_decoded(body):
    picture = decode(body)
    assert picture.mode in ("L", "RGB")
    assert sorted(picture.size) in ([20, 31], [16, 16])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_sample_file_is_decoded(path):
    assert decode(path.read_bytes(), max_pixels=1200 * 900).mode in ("L", "RGB")


def test_grey_or_colour_png_keeps_its_pixels():
    for mode in ("L", "RGB"):
        picture = COLORS.convert(mode)
        np.testing.assert_array_equal(pixels_of(encode(picture)), np.asarray(picture))


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_opened(wrap):
    assert open_image(wrap(encode(COLORS)), max_pixels=1000).size == (31, 20)


def test_open_image_decodes_no_pixels():
    image = open_image(png_header(3, 4), max_pixels=100)
    assert image.size == (3, 4)
    with pytest.raises(UnreadableImage, match="PNG"):
        decode_picture(image)


def test_pixel_limit_applies_to_the_header():
    body = png_header(60_000, 60_000)
    tracemalloc.start()
    with pytest.raises(ImageTooLarge, match="60000 x 60000 pixels, expected at most 50000000"):
        open_image(body, max_pixels=50_000_000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_pixel_limit_is_exact_in_every_format(file_format):
    body = encode(COLORS.convert("RGB"), file_format)
    assert open_image(body, max_pixels=31 * 20).size == (31, 20)
    with pytest.raises(ImageTooLarge):
        open_image(body, max_pixels=31 * 20 - 1)


def test_pixel_limit_applies_to_the_tiles_of_a_tiff():
    tags = {256: 10, 257: 10, 258: 8, 259: 1, 262: 1, 322: 60_000, 323: 60_000, 324: 8, 325: 100}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    with pytest.raises(ImageTooLarge, match="60000 x 60000"):
        open_image(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4), max_pixels=1_000_000)


def test_pixel_limit_applies_to_the_frame_of_a_gif():
    for side in (2000, 60_000):
        body = bytearray(encode(Image.new("1", (9, 9)), "GIF"))
        frame = body.index(b",", 13 + 3 * 256)  # after the header and the palette
        body[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
        with pytest.raises(ImageTooLarge):
            open_image(body, max_pixels=1_000_000)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "send PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC"),
        (b"<!DOCTYPE html>", "DOCTYPE"),
        (b"%PDF-1.7", "PDF"),
        (b"\xff\x0a" + bytes(20), "JPEG XL is not supported: convert it"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00mp42", "unknown image format"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "unknown image format"),
    ],
)
def test_unknown_format_is_unsupported(body, message):
    with pytest.raises(UnsupportedImage, match=message):
        open_image(body, max_pixels=1000)


def test_unsupported_sample_formats_name_those_that_are_supported():
    tags = {256: (4, 1, 4), 257: (4, 1, 4), 258: (3, 1, 64), 259: (3, 1, 1), 262: (3, 1, 1), 339: (3, 1, 3)}
    double = tiff(tags | {273: (4, 1, 8), 279: (4, 1, 128)}, bytes(128))
    jpeg = bytearray(encode(COLORS.convert("L"), "JPEG"))
    jpeg[jpeg.index(b"\xff\xc0") + 4] = 12
    depth = bytearray(encode(COLORS.convert("RGB"), "BMP"))
    depth[28] = 2
    for body, message in (
        (double, "expected unsigned samples of 1, 2, 4, 8, 12 or 16 bits .*; save it again or send PNG"),
        (jpeg, "samples of 12 bits, expected 8; save it again or send PNG"),
        (depth, "expected 1, 4, 8, 16, 24 or 32 bits per pixel"),
        (tiff(tags | {259: (3, 1, 34677), 273: (4, 1, 8)}, bytes(128)), "compression 34677, expected none, CCITT"),
    ):
        with pytest.raises(UnsupportedImage, match=message):
            open_image(bytes(body), max_pixels=1000)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_image_is_unreadable(file_format):
    body = encode(COLORS.convert("RGB").resize((200, 200)), file_format)
    for length in (13, len(body) // 3, len(body) * 3 // 4):
        with pytest.raises(UnreadableImage, match=f"(?i:{file_format}) cannot be decoded.*; send the complete"):
            decode(body[:length])


@given(st.binary(max_size=300), st.sampled_from([body[:size] for body in ENCODINGS for size in (0, 4, 30)]))
def test_any_bytes_give_a_picture_or_a_problem(body, beginning):
    assert outcome(beginning + body) in ("L", "RGB", 413, 415, 422)


@settings(max_examples=2000)
@given(
    st.sampled_from(ENCODINGS),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.integers(13, 2000),
    st.sampled_from([None, 12]),
)
@example(ENCODINGS[0], [], 2000, None)
def test_damaged_image_gives_a_picture_or_a_problem(body, changes, length, draft_side):
    damaged = bytearray(body)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    assert outcome(damaged[:length], draft_side=draft_side) in ("L", "RGB", 413, 415, 422)


def test_warnings_of_pillow_are_not_logged():
    script = """
import struct, sys, zlib
from benchmarks.hostile_files import tiff
from service.images.decoder import open_image, decode_picture
body = sys.stdin.buffer.read()
at = body.index(b"IDAT") - 4
chunk = b"acTL" + struct.pack(">II", 0, 0)  # an animation of no frames
body = body[:at] + struct.pack(">I", 8) + chunk + struct.pack(">I", zlib.crc32(chunk)) + body[at:]
print(decode_picture(open_image(body, max_pixels=1000)).size)
"""
    command = [sys.executable, "-W", "always", "-c", script]
    done = subprocess.run(command, input=encode(COLORS), cwd=ROOT, capture_output=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (b"(31, 20)", b"")
