"""What the service uses of Pillow's internals; the tests fail when Pillow changes it."""

import tracemalloc
import zlib

import pytest
from PIL import Image
from support.encoded_images import chunk, directory, with_chunks, with_exif

from service.images.decoder import decode_picture, open_image
from service.images.pillow_adapter import decode_png_rows
from service.problems import Problem, UnreadableImage


def peak_of(body):
    """Return the picture or the problem, and the peak of Python's memory."""
    tracemalloc.start()
    try:
        return decode_picture(open_image(body, max_pixels=10**6)), tracemalloc.get_traced_memory()[1]
    except Problem as problem:
        return problem, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:the tags claim more:UserWarning")
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
    hexadecimal = b"Raw profile type exif\0\n\n\n" + exif.hex().encode()
    for body in (with_chunks(chunk(b"eXIf", exif)), with_chunks(chunk(b"tEXt", hexadecimal)), with_exif(exif, "WebP")):
        assert decode_picture(open_image(body, max_pixels=10**6)).size == (480, 640)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (28, 28), (31, 7), (300, 200)])
def test_png_rows_have_the_same_pixels_as_with_the_public_functions(mode, size):
    picture = Image.effect_noise(size, 60).convert(mode)
    pixels, width = picture.tobytes(), len(mode) * size[0]
    rows = zlib.compress(b"".join(b"\0" + pixels[at : at + width] for at in range(0, len(pixels), width)))
    assert decode_png_rows(mode, size, rows) == Image.frombytes(mode, size, rows, "zip", mode).tobytes() == pixels
    for damaged in (b"", b"x" + rows):
        with pytest.raises(ValueError, match="damaged or incomplete"):
            decode_png_rows(mode, size, damaged)
