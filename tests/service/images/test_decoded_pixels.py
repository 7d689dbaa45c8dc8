"""Pixels of decoded images: orientation, bit depth, colour modes, transparency, first frame."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFilter
from support.encoded_images import COLORS, RAMP, chunk, decode, encode, pixels_of, turned
from support.paths import IMAGES

from service.images.decoder import open_image
from service.problems import UnreadableImage

# Pillow's warnings about damaged files would be errors here and would hide the service's result.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


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


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_by_the_bits_in_use(file_format, bits):
    wide = (RAMP.astype(np.uint16) << (bits - 8)) + (2 ** (bits - 8) - 1)
    np.testing.assert_array_equal(pixels_of(encode(Image.fromarray(wide), file_format)), RAMP)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("color", [2, 4, 6], ids=["RGB", "grey with alpha", "RGBA"])
def test_sixteen_bit_colour_is_scaled_by_the_bits_in_use(color, bits):
    colors, has_alpha = (1 if color == 4 else 3), color != 2
    samples = np.dstack([RAMP.astype(">u2") << (bits - 8)] * colors + [np.full(RAMP.shape, 65535)] * has_alpha)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", 16, 16, 16, color, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    picture = decode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    np.testing.assert_array_equal(np.asarray(picture.convert("L")), RAMP)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RAMP.astype(np.float32) / 255, RAMP),
        (RAMP.astype(np.float32), RAMP),
        (RAMP.astype(np.float32) * 257, RAMP),
        (RAMP.astype(np.float32) - 1000, RAMP),
        (RAMP.astype(np.int32), RAMP),
        (RAMP.astype(np.int32) * 257, RAMP),
        (RAMP.astype(np.int32) * 4095 // 255, RAMP),
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


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (255, 150), (100, 0)])
@pytest.mark.parametrize("file_format", ["PNG", "RGB PNG", "GIF"])
def test_ink_lies_over_the_colour_key(file_format, paper, ink):
    soft = Image.new("L", (60, 60), paper)
    soft.paste(ink, (20, 10, 40, 50))
    soft = soft.filter(ImageFilter.GaussianBlur(4))  # most of what is drawn is neither ink nor paper
    key = (paper,) * 3 if file_format == "RGB PNG" else paper
    picture = soft.convert("RGB") if file_format == "RGB PNG" else soft
    pixels = np.asarray(decode(encode(picture, file_format.split()[-1], transparency=key)).convert("L"))
    np.testing.assert_array_equal(pixels, np.asarray(soft))


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_ink_in_the_colour_of_the_key_gets_a_contrasting_background(file_format):
    picture = Image.new("P", (30, 30), 1)
    picture.putpalette([0, 0, 0, 0, 0, 0, 255, 255, 255])  # black ink 0, black key 1, white fringe 2
    picture.paste(2, (9, 9, 21, 21))
    picture.paste(0, (10, 10, 20, 20))
    pixels = pixels_of(encode(picture, file_format, transparency=1))
    assert (pixels[12:18, 12:18] == 0).all()
    assert (pixels[:5] == 255).all()


def test_bmp_with_an_empty_alpha_channel_is_opaque():
    grey = np.repeat(RAMP[::-1, :, None], 4, axis=2)
    for alpha, expected in ((0, RAMP), (255, RAMP)):
        grey[:, :, 3] = alpha
        header = struct.pack("<IiiHHIIiiII", 124, 16, 16, 1, 32, 3, grey.size, 0, 0, 0, 0)
        header += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(64)
        body = b"BM" + struct.pack("<IHHI", 138 + grey.size, 0, 0, 138) + header + grey.tobytes()
        np.testing.assert_array_equal(np.asarray(decode(body).convert("L")), expected)


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
