"""Files of ordinary size that are disproportionately expensive to decode."""

import io
import struct
import tracemalloc
import zlib

import pytest
from PIL import Image
from support.encoded_images import PHOTO, chunk, directory, encode, with_chunks, with_exif
from support.paths import IMAGES

from service.images.decoder import decode_picture, open_image
from service.images.guards import is_costly
from service.problems import UnreadableImage


def test_jpeg_with_many_exif_blocks_is_rejected_on_open():
    jpeg, block = encode(PHOTO, "JPEG"), b"\xff\xe1" + struct.pack(">H", 8) + b"Exif\0\0"
    assert open_image(jpeg[:2] + 2 * block + jpeg[2:], max_pixels=10**6).size == PHOTO.size
    with pytest.raises(UnreadableImage, match="blocks of EXIF"):
        open_image(jpeg[:2] + 10_000 * block + jpeg[2:], max_pixels=10**6)


def test_jpeg_with_too_many_scans_is_rejected():
    jpeg = encode(PHOTO, "JPEG", progressive=True)
    first, end = jpeg.index(b"\xff\xda"), jpeg.rindex(b"\xff\xd9")
    scan = jpeg[first : jpeg.index(b"\xff", first + 14)]  # truncated at the next marker or escaped byte
    assert decode_picture(open_image(jpeg, max_pixels=10**6)).size == PHOTO.size
    assert open_image(jpeg[:end] + 100 * scan + jpeg[end:], max_pixels=10**6)
    with pytest.raises(UnreadableImage, match="scans of 307200 pixels"):
        open_image(jpeg[:end] + 20_000 * scan + jpeg[end:], max_pixels=10**6)


def run_length_bmp(width, height, rows):
    """Return an RLE8 bitmap with a palette of grey levels."""
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


@pytest.mark.parametrize(
    "body",
    [
        run_length_bmp(10_000_000, 1, b"\0\2\0\xff\0\1"),  # an escape that skips 255 rows: 2.5 GB
        run_length_bmp(1_000_000, 10, 10 * b"\1\0\0\0"),  # each end of line pads a million pixels
        run_length_bmp(4, 1, b"\4\1\0\1"),  # a valid file
    ],
    ids=["delta", "end of line", "ordinary"],
)
def test_run_length_encoded_bmp_is_rejected_on_open(body):
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match="run-length encoded, which is not supported; save it as PNG"):
            open_image(body, max_pixels=50_000_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_uncompressed_bmp_is_decoded():
    assert decode_picture(open_image(encode(PHOTO.convert("P"), "BMP"), max_pixels=10**6)).size == PHOTO.size


@pytest.mark.parametrize("name", ["mnist-7.png", "photo-ship.webp"])
def test_ordinary_files_are_not_costly(name):
    assert not is_costly((IMAGES / name).read_bytes())
    assert not any(is_costly(encode(PHOTO, file_format)) for file_format in ("BMP", "GIF", "JPEG", "PNG", "WebP"))
    assert not is_costly(encode(PHOTO, "JPEG", progressive=True))


@pytest.mark.parametrize(
    "body",
    [
        encode(PHOTO, "TIFF"),
        with_exif(directory(100, tags=3), "JPEG"),
        with_exif(directory(100, tags=3), "PNG"),
        with_exif(directory(100, tags=3), "WebP"),
        with_chunks(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**6)))),
        with_chunks(chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(10**6)))),
        with_chunks(chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**6)))),
        encode(PHOTO, "JPEG")[:-2] + 30 * b"\xff\xda\0\x08\1\1\0\0\x3f\0" + b"\xff\xd9",
    ],
    ids=["TIFF", "JPEG EXIF", "PNG EXIF", "WebP EXIF", "zTXt", "iTXt", "iCCP", "scans"],
)
def test_files_that_may_decode_slowly_are_costly(body):
    assert is_costly(body)


def test_gif_with_many_comment_blocks_is_rejected_on_open():
    buffer = io.BytesIO()
    Image.new("L", (28, 28)).save(buffer, "GIF")
    gif = buffer.getvalue()
    at = 13 + (6 << (gif[10] & 7))
    for block in (b"\x21\xfe\x01a\x00", b"\x21\xfe" + b"\x01a" * 1000 + b"\x00", b"\x00"):
        assert open_image(gif[:at] + 2 * block + gif[at:], max_pixels=10**6).size == (28, 28)
        with pytest.raises(UnreadableImage, match="blocks before its first frame"):
            open_image(gif[:at] + 20_000 * block + gif[at:], max_pixels=10**6)
