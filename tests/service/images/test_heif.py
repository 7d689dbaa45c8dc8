"""AVIF and HEIF files: pixels, limits and the missing extra."""

import struct
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from support.encoded_images import COLORS, decode, encode, turned
from support.paths import ROOT

from service.images.containers.heif import find_brand
from service.images.decoder import open_image
from service.problems import ImageTooLarge, Problem, UnreadableImage

pytestmark = [
    pytest.mark.filterwarnings("ignore:::PIL"),
    pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF"),
]
needs_heif = pytest.mark.skipif(not find_spec("pi_heif"), reason="the extra heif is not installed")
HEIC = ROOT / "tests" / "data" / "heic"
SMOOTH = Image.linear_gradient("L").resize((64, 48)).convert("RGB")

ACROSS = Image.linear_gradient("L").rotate(90).resize((64, 48))
GRADIENTS = Image.merge("RGB", [SMOOTH.getchannel(0), ACROSS, Image.new("L", (64, 48), 90)])


def box(brand, *compatible):
    return struct.pack(">I4s4sI", 16 + 4 * len(compatible), b"ftyp", brand, 0) + b"".join(compatible)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_avif_is_decoded(mode):
    found = np.asarray(decode(encode(SMOOTH.convert(mode), "AVIF", quality=95)).convert("L")).astype(int)
    assert np.abs(found - np.asarray(SMOOTH.convert("L"))).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_rotated_once(orientation):
    body = encode(SMOOTH, "AVIF", quality=95, exif=turned(orientation))
    upright = np.asarray(decode(encode(SMOOTH, "PNG", exif=turned(orientation))))
    found = np.asarray(decode(body))
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() < 12


def test_first_frame_of_an_animated_avif_is_decoded():
    body = encode(SMOOTH, "AVIF", quality=95, save_all=True, append_images=[SMOOTH.rotate(180)] * 3)
    opened = open_image(body, max_pixels=10_000)
    assert opened.image.n_frames == 1
    assert np.abs(np.asarray(decode(body)).astype(int) - np.asarray(SMOOTH)).max() < 12


def test_pixel_limit_applies_to_the_header_and_to_the_coded_data():
    body = encode(SMOOTH, "AVIF")
    assert open_image(body, max_pixels=64 * 48).size == (64, 48)
    with pytest.raises(ImageTooLarge, match="64 x 48 pixels, expected at most 3071 in total"):
        open_image(body, max_pixels=64 * 48 - 1)
    large = bytearray(encode(SMOOTH.resize((640, 480)), "AVIF"))
    at = large.index(b"ispe") + 8
    large[at : at + 8] = struct.pack(">II", 64, 48)
    with pytest.raises(ImageTooLarge, match="over 307200 pixels together"):
        open_image(bytes(large), max_pixels=64 * 48)


def test_avif_has_a_lower_pixel_limit():
    body = bytearray(encode(SMOOTH, "AVIF"))
    at = body.index(b"ispe") + 8
    body[at : at + 8] = struct.pack(">II", 5000, 5000)
    with pytest.raises(ImageTooLarge, match="expected at most 20000000"):
        open_image(bytes(body), max_pixels=50_000_000)


@pytest.mark.parametrize(
    ("body", "brand"),
    [
        (box(b"avif"), "AVIF"),
        (box(b"mif1", b"miaf", b"avif"), "AVIF"),
        (box(b"heic", b"mif1"), "HEIF"),
        (box(b"msf1"), "HEIF"),
        (box(b"isom", b"mp42"), None),
        (box(b"isom") + b"heic", None),
    ],
)
def test_brands_tell_the_format(body, brand):
    assert find_brand(body) == brand


def test_missing_extra_is_named():
    script = """
import sys
sys.modules["pi_heif"] = None
from service.images.decoder import open_image
try:
    open_image(b"\\0\\0\\0\\x18ftypheic\\0\\0\\0\\0mif1heic", max_pixels=1000)
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, text=True)
    assert "HEIC and HEIF need the extra `heif`" in done.stdout


ENCODINGS = [encode(COLORS.convert(mode), "AVIF") for mode in ("L", "RGB", "RGBA")]
if find_spec("pi_heif"):
    ENCODINGS += [path.read_bytes() for path in sorted(HEIC.glob("*.heic"))]


@settings(max_examples=500)
@given(
    st.sampled_from(ENCODINGS),
    st.lists(st.tuples(st.integers(0, 800), st.integers(0, 255)), max_size=6),
    st.integers(13, 4000),
)
def test_damaged_files_give_a_picture_or_a_problem(body, changes, length):
    damaged = bytearray(body)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        assert decode(bytes(damaged[:length]), max_pixels=100_000).mode in ("L", "RGB")
    except Problem as problem:
        assert problem.status in (413, 415, 422)


def test_truncated_avif_is_unreadable():
    for length in (40, 200, len(ENCODINGS[1]) // 2):
        with pytest.raises(UnreadableImage, match=r"cannot be decoded.*; send the complete"):
            decode(ENCODINGS[1][:length])


@needs_heif
@pytest.mark.parametrize(("name", "turns"), [("upright", 0), ("rotated", 3)])
def test_heic_is_decoded_and_rotated_once(name, turns):
    expected = np.rot90(np.asarray(GRADIENTS), turns)
    found = np.asarray(decode((HEIC / f"{name}.heic").read_bytes()))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() < 12


@needs_heif
def test_heic_has_a_pixel_limit():
    body = (HEIC / "upright.heic").read_bytes()
    assert open_image(body, max_pixels=64 * 64).size == (64, 48)
    with pytest.raises(ImageTooLarge):
        open_image(body, max_pixels=64 * 48 - 1)
