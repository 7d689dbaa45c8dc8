"""Files of ordinary size that are disproportionately expensive to decode."""

import io
import struct
import tracemalloc
import zlib

import pytest
from PIL import Image
from support.paths import IMAGES

from service.images.decoder import open_image, read_picture
from service.images.guards import is_costly
from service.problems import Problem, UnreadableImage

PHOTO = Image.effect_noise((640, 480), 60)


def encode(picture, file_format, **options):
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


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


def peak_of(body):
    """Return the picture or the problem, and the peak of Python's memory."""
    tracemalloc.start()
    try:
        return read_picture(open_image(body, max_pixels=10**6)), tracemalloc.get_traced_memory()[1]
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
        assert read_picture(open_image(body, max_pixels=10**6)).size == (480, 640)


def test_jpeg_with_many_exif_blocks_is_rejected_on_open():
    jpeg, block = encode(PHOTO, "JPEG"), b"\xff\xe1" + struct.pack(">H", 8) + b"Exif\0\0"
    assert open_image(jpeg[:2] + 2 * block + jpeg[2:], max_pixels=10**6).size == PHOTO.size
    with pytest.raises(UnreadableImage, match="blocks of EXIF"):
        open_image(jpeg[:2] + 10_000 * block + jpeg[2:], max_pixels=10**6)


def test_jpeg_with_too_many_scans_is_rejected():
    jpeg = encode(PHOTO, "JPEG", progressive=True)
    first, end = jpeg.index(b"\xff\xda"), jpeg.rindex(b"\xff\xd9")
    scan = jpeg[first : jpeg.index(b"\xff", first + 14)]  # truncated at the next marker or escaped byte
    assert read_picture(open_image(jpeg, max_pixels=10**6)).size == PHOTO.size
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
    assert read_picture(open_image(encode(PHOTO.convert("P"), "BMP"), max_pixels=10**6)).size == PHOTO.size


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
