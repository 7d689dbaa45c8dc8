"""What the service uses of Pillow's internals; the tests fail when Pillow changes it."""

import zlib

import pytest
from PIL import Image

from service.images.pillow_adapter import decode_png_rows


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
