import io
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
from support.paths import IMAGES, ROOT

from service.images.decoder import open_image, read_picture
from service.problems import ImageTooLarge, Problem, UnreadableImage, UnsupportedImage

# Pillow's warnings about damaged files would be errors here and would hide the service's result.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

FILES = sorted(path for path in IMAGES.iterdir() if path.suffix != ".md")
COLORS = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 31, 4), dtype=np.uint8))
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def encode(picture, file_format="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def decode(body, *, max_pixels=1_000_000, draft_side=None):
    return read_picture(open_image(body, max_pixels=max_pixels), draft_side=draft_side)


def pixels_of(body):
    return np.asarray(decode(body))


def outcome(body, *, draft_side=None):
    """Return the mode of the picture or the status of the problem."""
    try:
        return decode(body, max_pixels=100_000, draft_side=draft_side).mode
    except Problem as problem:
        return problem.status


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


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
        read_picture(image)


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
        (b"", "send PNG, JPEG, WebP, GIF, BMP or TIFF"),
        (b"<!DOCTYPE html>", "DOCTYPE"),
        (b"%PDF-1.7", "PDF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC is not supported: send PNG, JPEG"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "HEIC is not supported: send PNG, JPEG"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1avif", "AVIF is not supported: send PNG, JPEG"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00mp42", "unknown image format"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "unknown image format"),
    ],
)
def test_unknown_format_is_unsupported(body, message):
    with pytest.raises(UnsupportedImage, match=message):
        open_image(body, max_pixels=1000)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_image_is_unreadable(file_format):
    body = encode(COLORS.convert("RGB").resize((200, 200)), file_format)
    for length in (13, len(body) // 3, len(body) * 3 // 4):
        with pytest.raises(UnreadableImage, match=f"{file_format} cannot be decoded.*; send the complete"):
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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(file_format, orientation):
    stored = np.asarray(COLORS.convert("RGB"))
    upright = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1]}
    sideways = stored.transpose(1, 0, 2)
    upright |= {5: sideways, 6: sideways[:, ::-1], 7: sideways[::-1, ::-1], 8: sideways[::-1]}
    options = {"lossless": True} if file_format == "WEBP" else {}
    body = encode(COLORS.convert("RGB"), file_format, exif=turned(orientation), **options)
    np.testing.assert_array_equal(pixels_of(body), upright[orientation])


def test_reduced_decode_of_a_rotated_jpeg_is_upright():
    body = (IMAGES / "digit-4-exif-turned.jpg").read_bytes()
    assert open_image(body, max_pixels=1_000_000).size == (480, 640)
    assert decode(body).size == (640, 480)
    assert decode(body, draft_side=96).size == (160, 120)


def test_damaged_exif_does_not_rotate_the_image():
    body = encode(COLORS.convert("RGB"), exif=b"Exif\x00\x00nonsense")
    np.testing.assert_array_equal(pixels_of(body), np.asarray(COLORS.convert("RGB")))


def test_sixteen_bit_pixels_are_reduced_to_eight():
    wide = RAMP.astype(np.uint16) * 256 + 99
    for file_format in ("PNG", "TIFF"):
        np.testing.assert_array_equal(pixels_of(encode(Image.fromarray(wide), file_format)), RAMP)
    np.testing.assert_array_equal(
        pixels_of((IMAGES / "mnist-5-16bit.png").read_bytes()), pixels_of((IMAGES / "mnist-5.png").read_bytes())
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RAMP.astype(np.float32) / 255, RAMP),
        (RAMP.astype(np.float32), RAMP),
        (RAMP.astype(np.float32) * 257, RAMP),
        (RAMP.astype(np.float32) - 1000, RAMP),
        (RAMP.astype(np.int32), RAMP),
        (RAMP.astype(np.int32) * 257, RAMP),
        (RAMP.astype(np.int32) - 128, RAMP),
        (np.full((3, 3), -5, np.float32), np.zeros((3, 3))),
        (np.ones((3, 3), np.int32), np.ones((3, 3))),
        (np.array([[0, 10.2, 10.6]], np.float32), [[0, 10, 11]]),
    ],
)
def test_wide_pixel_values_are_scaled_to_bytes(values, expected):
    found = pixels_of(encode(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(found, expected)


def test_image_with_infinite_values_is_unreadable():
    values = np.full((3, 3), np.inf, np.float32)
    with pytest.raises(UnreadableImage, match="not finite"):
        decode(encode(Image.fromarray(values), "TIFF"))


def test_one_bit_pixels_are_black_or_white():
    picture = COLORS.convert("1")
    np.testing.assert_array_equal(pixels_of(encode(picture)), np.asarray(picture) * 255)


def test_palette_image_is_decoded_to_its_colours():
    picture = Image.fromarray(RAMP).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(pixels_of(encode(picture)), np.asarray(picture.convert("RGB")))


def test_cmyk_image_is_decoded_to_its_colours():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for file_format in ("JPEG", "TIFF"):
        assert np.abs(pixels_of(encode(red, file_format)).astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (60, 255), (200, 0), (255, 0)])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_background_of_a_transparent_image_has_contrast(mode, ink, paper):
    drawn = Image.new(mode, (10, 10), (*[255 - ink] * (len(mode) - 1), 0))  # transparent, with the opposite colour
    drawn.paste((*[ink] * (len(mode) - 1), 255), (2, 2, 5, 5))
    pixels = pixels_of(encode(drawn))
    assert (pixels[2:5, 2:5] == ink).all()
    assert (pixels[6:] == paper).all()


def test_half_transparent_ink_is_blended_with_the_background():
    drawn = Image.new("LA", (10, 10), (0, 0))
    drawn.paste((0, 128), (2, 2, 5, 5))
    assert pixels_of(encode(drawn))[3, 3] == 127


def test_transparent_palette_colour_is_background():
    picture = Image.new("P", (10, 10), 1)
    picture.putpalette([0, 0, 0, 250, 250, 250])
    picture.paste(0, (2, 2, 5, 5))
    for body in (encode(picture, transparency=0), encode(picture, "GIF", transparency=0)):
        pixels = pixels_of(body)
        assert (pixels[3, 3] == 0).all()  # black, in contrast to the light content
        assert (pixels[8, 8] == 250).all()


def test_transparent_level_or_colour_is_background():
    picture = Image.new("L", (10, 10), 100)
    picture.paste(0, (2, 2, 5, 5))
    for body in (encode(picture, transparency=100), encode(picture.convert("RGB"), transparency=(100, 100, 100))):
        pixels = pixels_of(body)
        assert (pixels[2:5, 2:5] == 0).all()
        assert (pixels[6:] == 255).all()


def test_opaque_alpha_channel_has_no_effect():
    picture = COLORS.convert("RGB")
    np.testing.assert_array_equal(pixels_of(encode(picture.convert("RGBA"))), np.asarray(picture))


def test_first_frame_of_an_animation_is_decoded():
    first, second = Image.new("L", (9, 9), 40), Image.new("L", (9, 9), 200)
    for file_format in ("GIF", "PNG", "TIFF"):
        body = encode(first, file_format, save_all=True, append_images=[second])
        assert (pixels_of(body) == 40).all()
    body = encode(first.convert("RGB"), "WEBP", save_all=True, append_images=[second.convert("RGB")], lossless=True)
    assert (pixels_of(body) == 40).all()


def test_reduced_decode_is_never_smaller_than_requested():
    body = encode(COLORS.convert("RGB").resize((1600, 1200)), "JPEG")
    assert decode(body, max_pixels=2_000_000).size == (1600, 1200)
    assert decode(body, max_pixels=2_000_000, draft_side=96).size == (200, 150)
    assert decode(body, max_pixels=2_000_000, draft_side=600).size == (800, 600)
    assert decode(body, max_pixels=2_000_000, draft_side=6000).size == (1600, 1200)


def test_warnings_of_pillow_are_not_logged():
    script = """
import struct, sys, zlib
from service.images.decoder import open_image, read_picture
body = sys.stdin.buffer.read()
at = body.index(b"IDAT") - 4
chunk = b"acTL" + struct.pack(">II", 0, 0)  # an animation of no frames
body = body[:at] + struct.pack(">I", 8) + chunk + struct.pack(">I", zlib.crc32(chunk)) + body[at:]
print(read_picture(open_image(body, max_pixels=1000)).size)
"""
    command = [sys.executable, "-W", "always", "-c", script]
    done = subprocess.run(command, input=encode(COLORS), cwd=ROOT, capture_output=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (b"(31, 20)", b"")
