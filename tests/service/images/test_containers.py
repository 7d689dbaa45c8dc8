"""Files that are expensive to decode are refused on open, and metadata costs nothing."""

import io
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from support.encoded_images import (
    COLORS,
    PHOTO,
    chunk,
    decode,
    directory,
    encode,
    pixels_of,
    turned,
    with_chunks,
    with_exif,
)

from benchmarks.hostile_files import KINDS, gif, jpeg_scans, jpeg_segments, png_chunks, tiff
from service.images.decoder import decode_picture, open_image
from service.problems import ImageTooLarge, Problem, UnreadableImage

REFUSED = {
    "PNG, 1 x 50,000,000 RGBA": "1 x 50000000 pixels, expected at most 65535 on each side",
    "PNG, many zTXt chunks": "the PNG has over 10000 chunks; save it again",
    "PNG, empty private chunks": "the PNG has over 10000 chunks; save it again",
    "PNG, empty chunks after IDAT": "the PNG has over 10000 chunks; save it again",
    "PNG, empty IDAT chunks": "the PNG has over 10000 chunks; save it again",
    "GIF, blocks of 1 byte": "the GIF has over 10000 blocks before its first frame; save it again",
    "JPEG, empty APP segments": "the JPEG has over 2000 segments; save it again",
    "JPEG, empty COM segments": "the JPEG has over 2000 segments; save it again",
    "JPEG, many small scans": "the JPEG has over 100 scans of 4096 pixels, expected at most 100 scans",
    "BMP, run lengths, delta": "the BMP is run-length encoded, which is not supported; save it as PNG",
    "BMP, run lengths, ends of lines": "the BMP is run-length encoded, which is not supported; save it as PNG",
    "TIFF, offsets of strips as BYTE": "expected at most 16; save it again",
    "TIFF, offsets of strips as SHORT": "expected at most 16; save it again",
    "TIFF, offsets of tiles as BYTE": "expected at most 1; save it again",
    "TIFF, offsets of tiles as SHORT": "expected at most 1; save it again",
    "TIFF, tall strips": "1000000 strips or tiles, expected at most 2; save it again",
}


def peak_of(body):
    """Return the picture or the problem, and the peak of Python's memory."""
    tracemalloc.start()
    try:
        return decode_picture(open_image(body, max_pixels=50_000_000)), tracemalloc.get_traced_memory()[1]
    except Problem as problem:
        return problem, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", REFUSED)
def test_expensive_file_is_refused_on_open(kind):
    body = KINDS[kind]()
    problem, peak = peak_of(body)
    assert isinstance(problem, (ImageTooLarge, UnreadableImage))
    assert REFUSED[kind] in problem.detail
    assert peak < 2_000_000 + 2 * len(body)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WebP", "TIFF"])
def test_metadata_does_not_reach_the_plugin(file_format, orientation):
    picture = COLORS.convert("RGB")
    exif = turned(orientation)
    exif[0x010E] = "a description"
    options = {"exif": exif, "icc_profile": b"profile", "lossless": True}
    opened = open_image(encode(picture, file_format, **options), max_pixels=1000)
    assert not opened.image.info.keys() & {"exif", "icc_profile", "xmp", "comment"}
    assert decode_picture(opened).size == ((31, 20) if orientation == 1 else (20, 31))


def test_png_chunks_after_its_end_are_left_out():
    body = encode(COLORS)
    assert open_image(body + 20_000 * chunk(b"prVt", b""), max_pixels=10**6).container.body == body


def test_pixels_in_many_chunks_are_joined():
    body = encode(COLORS.convert("RGB"))
    at = body.index(b"IDAT")
    data = body[at + 4 : -16]
    parts = [chunk(b"IDAT", data[start : start + 9]) for start in range(0, len(data), 9)]
    assert len(parts) > 100
    split = body[: at - 4] + b"".join(parts) + body[-12:]
    np.testing.assert_array_equal(pixels_of(split), np.asarray(COLORS.convert("RGB")))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WebP"])
def test_exif_tags_with_shared_bytes_use_bounded_memory(file_format):
    size = 40_000 if file_format == "JPEG" else 1_000_000  # a block of a JPEG has at most 64 KiB
    body = with_exif(directory(size), file_format)
    picture, peak = peak_of(body)
    assert peak < 10 * len(body)
    assert picture.size == (480, 640)  # the orientation is still applied


def test_tiff_tags_with_shared_bytes_use_bounded_memory():
    body = directory(1_000_000)
    problem, peak = peak_of(body)
    assert isinstance(problem, UnreadableImage)
    assert peak < 10 * len(body)


def test_exif_prefixes_are_stripped_at_once():
    exif = 1_000_000 * b"Exif\0\0" + directory(0, tags=0)  # stripping them one by one would take hours
    for body in (with_chunks(chunk(b"eXIf", exif)), with_exif(exif, "WebP")):
        assert decode(body).size == (480, 640)


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt"])
def test_orientation_in_a_text_of_a_png_is_applied(name):
    text = b"\nexif\n      10\n" + directory(0, tags=0).hex().encode()
    content = text if name == b"tEXt" else b"\0" + zlib.compress(text)
    assert decode(with_chunks(chunk(name, b"Raw profile type exif\0" + content))).size == (480, 640)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WebP"])
def test_orientation_in_xmp_is_applied(file_format):
    xmp = b'<rdf:Description tiff:Orientation="8"/>'
    if file_format == "PNG":
        body = with_chunks(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    else:
        body = encode(PHOTO, file_format, xmp=xmp)
    assert decode(body).size == (480, 640)


def test_fill_bytes_between_segments_are_left_out():
    picture, opened = np.asarray(PHOTO.resize((64, 64))), open_image(jpeg_segments(b"\xff"), max_pixels=10**6)
    assert opened.size == picture.shape
    assert len(opened.container.body) < 10_000
    assert decode_picture(opened).size == (64, 64)


def test_scans_are_limited_by_their_pixels():
    assert decode(jpeg_scans(640, 480, 20)).size == (640, 480)
    with pytest.raises(UnreadableImage, match="1000000000 pixels over all scans; save it again with at most 12 scans"):
        open_image(jpeg_scans(5000, 5000, 50), max_pixels=50_000_000)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("draft_side", [None, 96])
def test_jpeg_that_lacks_only_its_end_marker_is_decoded(options, mode, draft_side):
    body = encode(PHOTO.convert(mode), "JPEG", restart_marker_rows=2, **options)
    whole = np.asarray(decode(body, draft_side=draft_side))
    np.testing.assert_array_equal(np.asarray(decode(body[:-2], draft_side=draft_side)), whole)
    for end in (b"", b"\xff"):
        with pytest.raises(UnreadableImage, match="it is truncated; send the complete"):
            decode(body[: len(body) // 3] + end, draft_side=draft_side)


def test_jpeg_that_ends_at_a_restart_marker_is_unreadable():
    body = encode(PHOTO, "JPEG", restart_marker_rows=2)
    restart = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", body)][5]
    for end in (restart, restart + 2):
        with pytest.raises(UnreadableImage, match="truncated"):
            decode(body[:end])


def test_arithmetic_coding_is_refused():
    body = bytearray(encode(PHOTO, "JPEG"))
    body[body.index(b"\xff\xc0") + 1] = 0xC9
    with pytest.raises(UnreadableImage, match="arithmetic coding, which is not supported; save it as PNG"):
        open_image(bytes(body), max_pixels=10**6)


def test_gif_comments_are_left_out():
    body = gif()
    assert open_image(gif(100 * b"\x21\xfe\x01a\x00"), max_pixels=1000).container.body == body


def test_first_frame_of_an_animated_webp_is_kept_alone():
    frames = [Image.new("RGB", (64, 64), (level, 0, 0)) for level in range(0, 200, 10)]
    body = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    opened = open_image(body, max_pixels=10_000)
    assert opened.image.n_frames == 1
    assert opened.container.body.count(b"ANMF") == 1


def test_webp_has_a_lower_pixel_limit():
    body = bytearray(encode(COLORS, "WEBP", lossless=True))
    at = body.index(b"VP8L") + 9
    body[at : at + 4] = struct.pack("<I", 5999 | 5999 << 14)
    with pytest.raises(ImageTooLarge, match="6000 x 6000 pixels, expected at most 25000000"):
        open_image(bytes(body), max_pixels=50_000_000)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("1", {"compression": "group4"}),
        ("RGB", {"compression": "jpeg"}),
        ("P", {}),
        ("RGB", {"compression": "tiff_lzw"}),
    ],
)
def test_tiff_without_other_tags_has_the_same_pixels(mode, options):
    body = encode(COLORS.convert(mode), "TIFF", dpi=(300, 300), description="text", **options)
    with Image.open(io.BytesIO(body)) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(np.asarray(decode(body).convert("RGB")), expected)


@pytest.mark.parametrize("big_tiff", [False, True])
@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
def test_tiff_keeps_only_the_tags_of_its_pixels(big_tiff, options):
    picture = COLORS.convert("RGB")
    opened = open_image(encode(picture, "TIFF", big_tiff=big_tiff, description="text", **options), max_pixels=1000)
    assert 0x010E not in opened.image.tag_v2
    np.testing.assert_array_equal(np.asarray(decode_picture(opened)), np.asarray(picture))


def test_overlapping_strips_are_refused():
    tags = {256: (4, 1, 1000), 257: (4, 1, 1000), 258: (3, 1, 8), 259: (3, 1, 5), 262: (3, 1, 1), 278: (4, 1, 1)}
    tags |= {273: (4, 1000, struct.pack("<I", 8) * 1000), 279: (4, 1000, struct.pack("<I", 9000) * 1000)}
    with pytest.raises(UnreadableImage, match="its strips or tiles have 9000000 bytes"):
        open_image(tiff(tags, bytes(9000)), max_pixels=10**6)


def test_png_chunk_limit_is_far_from_ordinary_files():
    assert decode(png_chunks(chunk(b"tEXt", b"k\0" + bytes(3000)))).size == (28, 28)
