"""Small files that are expensive to decode, one function per kind.

Each file has at most 10 MiB, the default limit of the service. Every run builds the same bytes.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

SIDE = 7_071  # a square of 50 megapixels, the default limit
LARGE = 10 * 1024 * 1024 - 4096  # bytes of the largest files
_ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
_PNG = b"\x89PNG\r\n\x1a\n"


def encode(picture: Image.Image, file_format: str, **options: object) -> bytes:
    """Encode a picture with Pillow."""
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def noise(width: int, height: int, mode: str) -> Image.Image:
    """Return a picture with coarse noise, which compresses well and has no uniform area."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(0, 256, (height // 64 + 1, width // 64 + 1, bands), dtype=np.uint8)
    image = Image.merge(mode, [Image.fromarray(np.ascontiguousarray(pixels[:, :, band])) for band in range(bands)])
    return image.resize((width, height), Image.Resampling.NEAREST)


def chunk(name: bytes, content: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *, color: int, depth: int = 8, interlaced: int = 0, before: bytes = b"") -> bytes:
    """Return a PNG of a repeated row of ramps, with chunks before the pixels."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    compressor, data = zlib.compressobj(9), list[bytes]()
    for left, top, step, rise in _ADAM7 if interlaced else [(0, 0, 1, 1)]:
        row_bytes = -(-(width - left) // step) * samples * depth // 8
        row = b"\0" + bytes(itertools.islice(itertools.cycle(range(256)), row_bytes))
        data += [compressor.compress(row) for _ in range(-(-(height - top) // rise))]
    rows = b"".join([*data, compressor.flush()])
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    return _PNG + chunk(b"IHDR", header) + before + chunk(b"IDAT", rows) + chunk(b"IEND")


def _tall_png() -> bytes:
    """Return a PNG of one column."""
    rows = zlib.compress(bytes(5 * 50_000_000), 9)
    header = struct.pack(">IIBBBBB", 1, 50_000_000, 8, 6, 0, 0, 0)
    return _PNG + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND")


def png_chunks(repeated: bytes, *, after: bool = False) -> bytes:
    """Return a PNG of 10 MB that repeats a chunk before or after its pixels."""
    many = repeated * (LARGE // len(repeated))
    if not after:
        return png(28, 28, color=0, before=many)
    return png(28, 28, color=0)[:-12] + many + chunk(b"IEND")


def jpeg_segments(repeated: bytes) -> bytes:
    """Return a JPEG of 10 MB that repeats bytes before its first segment."""
    jpeg = encode(noise(64, 64, "L"), "JPEG")
    return jpeg[:2] + repeated * (LARGE // len(repeated)) + jpeg[2:]


def jpeg_scans(width: int, height: int, count: int, *, mode: str = "L") -> bytes:
    """Return a progressive JPEG with ``count`` more scans, each of a few bytes."""
    jpeg = encode(noise(width, height, mode), "JPEG", progressive=True)
    components = b"\1\0" if mode == "L" else b"C\0M\0Y\0K\0"
    spectrum = b"\1\x05\0" if mode == "L" else b"\0\0\0"  # coefficients 1 to 5, or the mean of all components
    number = len(components) // 2
    scan = struct.pack(">HHB", 0xFFDA, 6 + 2 * number, number) + components + spectrum + b"\xff\x00"
    return jpeg[:-2] + count * scan + jpeg[-2:]


def gif(before: bytes = b"") -> bytes:
    """Return a small GIF with blocks before its first frame."""
    body = encode(noise(28, 28, "L"), "GIF")
    at = 13 + (6 << (body[10] & 7))
    return body[:at] + before + body[at:]


def bmp(width: int, height: int, *, bits: int, compression: int, rows: bytes) -> bytes:
    """Return a BMP with a palette of grey levels if it has 8 bits per pixel."""
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256)) if bits == 8 else b""
    start = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def tiff(tags: Mapping[int, tuple[int, int, int | bytes]], data: bytes = b"") -> bytes:
    """Return a TIFF of tags (type, count, value or bytes) whose pixels or values are ``data``, at offset 8."""
    at = 8 + len(data)
    entries, values = [], b""
    start = at + 2 + 12 * len(tags) + 4
    for tag, (kind, count, value) in sorted(tags.items()):
        if isinstance(value, bytes):
            entries.append(struct.pack("<HHII", tag, kind, count, start + len(values)))
            values += value
        else:
            entries.append(struct.pack("<HHII", tag, kind, count, value))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, at) + data + directory + values


def _grey(width: int, height: int) -> dict[int, tuple[int, int, int | bytes]]:
    return {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}


def tiff_parts(kind: int, *, tiled: bool) -> bytes:
    """Return a TIFF of 10 MB filled with offsets of strips or tiles, of a type."""
    size = {1: 1, 3: 2, 4: 4}[kind]
    count = LARGE // size
    if tiled:
        return tiff(_grey(16, 16) | {322: (3, 1, 16), 323: (3, 1, 16), 324: (kind, count, 8)}, bytes(LARGE))
    return tiff(_grey(16, 16) | {273: (kind, count, 8), 278: (3, 1, 1)}, bytes(LARGE))


def tiff_tall_strips() -> bytes:
    """Return a TIFF of 4 MB whose strips each cover the whole picture."""
    count = 1_000_000
    return tiff(_grey(2, 65_000) | {273: (4, count, 8), 278: (4, 1, 64_000)}, bytes(4 * count))


def tiff_strips(count: int) -> bytes:
    """Return a TIFF with a strip per row."""
    return tiff(_grey(500, count) | {273: (4, count, bytes(4 * count)), 278: (4, 1, 1)}, bytes(500 * count))


def tiff_compressed(mode: str, compression: str, side: int = SIDE) -> bytes:
    """Return a TIFF of 50 megapixels that compresses well."""
    has_noise = mode != "F" and compression != "tiff_lzw"
    picture = noise(side, side, mode) if has_noise else Image.new(mode, (side, side))
    return encode(picture, "TIFF", compression=compression)


def webp(side: int, *, alpha: bool = False) -> bytes:
    """Return a lossless WebP of one colour."""
    picture = Image.new("RGBA", (side, side), (9, 9, 9, 100)) if alpha else Image.new("RGB", (side, side), (9, 9, 9))
    return encode(picture, "WEBP", lossless=True, method=0)


KINDS: Mapping[str, Callable[[], bytes]] = {
    "PNG, 1 x 50,000,000 RGBA": _tall_png,
    "PNG, 50 MP, grey": lambda: png(SIDE, SIDE, color=0),
    "PNG, 50 MP, RGB": lambda: png(SIDE, SIDE, color=2),
    "PNG, 50 MP, RGBA": lambda: png(SIDE, SIDE, color=6),
    "PNG, 50 MP, RGBA of 16 bits": lambda: png(SIDE, SIDE, color=6, depth=16),
    "PNG, 50 MP, RGBA of 16 bits, interlaced": lambda: png(SIDE, SIDE, color=6, depth=16, interlaced=1),
    "PNG, 50 MP, grey of 16 bits": lambda: png(SIDE, SIDE, color=0, depth=16),
    "PNG, 50 MP, grey with alpha": lambda: png(SIDE, SIDE, color=4),
    "PNG, 50 MP, colour key": lambda: png(SIDE, SIDE, color=2, before=chunk(b"tRNS", b"\0\0\0\1\0\2")),
    "PNG, many iCCP chunks": lambda: png_chunks(chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(1_000_000), 9))),
    "PNG, many zTXt chunks": lambda: png_chunks(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(60_000), 9))),
    "PNG, empty private chunks": lambda: png_chunks(chunk(b"prVt")),
    "PNG, empty chunks after IDAT": lambda: png_chunks(chunk(b"prVt"), after=True),
    "PNG, empty IDAT chunks": lambda: png_chunks(chunk(b"IDAT")),
    "GIF, 9,999 blocks": lambda: gif((b"\x21\xfe" + (b"\xff" + bytes(255)) * 900 + b"\0") * 11),
    "GIF, blocks of 1 byte": lambda: gif(b"\x21\xfe" + b"\1a" * (LARGE // 2) + b"\0"),
    "GIF, 50 MP": lambda: encode(noise(SIDE, SIDE, "L"), "GIF"),
    "GIF, 50 MP, transparent": lambda: encode(noise(SIDE, SIDE, "L"), "GIF", transparency=3),
    "JPEG, empty APP segments": lambda: jpeg_segments(b"\xff\xe2\0\2"),
    "JPEG, empty COM segments": lambda: jpeg_segments(b"\xff\xfe\0\2"),
    "JPEG, filled with 0xFF": lambda: jpeg_segments(b"\xff"),
    "JPEG, 100 scans of 50 MP": lambda: jpeg_scans(SIDE, SIDE, 90),
    "JPEG, 10 scans more of 50 MP": lambda: jpeg_scans(SIDE, SIDE, 13),
    "JPEG, 5 scans more of 50 MP, CMYK": lambda: jpeg_scans(SIDE, SIDE, 5, mode="CMYK"),
    "JPEG, many small scans": lambda: jpeg_scans(64, 64, LARGE // 12),
    "JPEG, 50 MP": lambda: encode(noise(SIDE, SIDE, "RGB"), "JPEG", subsampling=0),
    "JPEG, 50 MP, progressive": lambda: encode(noise(SIDE, SIDE, "RGB"), "JPEG", progressive=True, subsampling=0),
    "JPEG, 50 MP, CMYK, progressive": lambda: encode(noise(SIDE, SIDE, "CMYK"), "JPEG", progressive=True),
    "JPEG, 50 MP, no end marker": lambda: encode(noise(SIDE, SIDE, "RGB"), "JPEG")[:-2],
    "BMP, run lengths, delta": lambda: bmp(10_000_000, 1, bits=8, compression=1, rows=b"\0\2\0\xff\0\1"),
    "BMP, run lengths, ends of lines": lambda: bmp(1_000_000, 10, bits=8, compression=1, rows=10 * b"\1\0\0\0"),
    "BMP, 10 MB": lambda: bmp(1600, 1600, bits=32, compression=0, rows=bytes(4 * 1600 * 1600)),
    "BMP, 50 MP, truncated": lambda: bmp(SIDE, SIDE, bits=32, compression=0, rows=bytes(1000)),
    "TIFF, offsets of strips as BYTE": lambda: tiff_parts(1, tiled=False),
    "TIFF, offsets of strips as SHORT": lambda: tiff_parts(3, tiled=False),
    "TIFF, offsets of tiles as BYTE": lambda: tiff_parts(1, tiled=True),
    "TIFF, offsets of tiles as SHORT": lambda: tiff_parts(3, tiled=True),
    "TIFF, tall strips": tiff_tall_strips,
    "TIFF, 20,000 strips": lambda: tiff_strips(20_000),
    "TIFF, tags that share bytes": lambda: tiff({0xC000 + tag: (7, LARGE, 8) for tag in range(4000)}, bytes(LARGE)),
    "TIFF, 50 MP, RGBA, Deflate": lambda: tiff_compressed("RGBA", "tiff_adobe_deflate"),
    "TIFF, 50 MP, RGB, LZW": lambda: tiff_compressed("RGB", "tiff_lzw"),
    "TIFF, 50 MP, RGB, LZMA": lambda: tiff_compressed("RGB", "lzma"),
    "TIFF, 50 MP, RGB, Zstandard": lambda: tiff_compressed("RGB", "zstd"),
    "TIFF, 50 MP, RGB, JPEG": lambda: tiff_compressed("RGB", "jpeg"),
    "TIFF, 50 MP, CMYK, Deflate": lambda: tiff_compressed("CMYK", "tiff_adobe_deflate"),
    "TIFF, 50 MP, float, Deflate": lambda: tiff_compressed("F", "tiff_adobe_deflate"),
    "WebP, 50 MP": lambda: webp(SIDE),
    "WebP, 25 MP": lambda: webp(5_000),
    "WebP, 25 MP, transparent": lambda: webp(5_000, alpha=True),
    "WebP, 25 MP, noise": lambda: encode(noise(5_000, 5_000, "RGB"), "WEBP", method=0),
    "AVIF, 20 MP": lambda: encode(noise(4_472, 4_472, "RGB"), "AVIF", speed=10),
    "AVIF, 20 MP, transparent": lambda: encode(noise(4_472, 4_472, "RGBA"), "AVIF", speed=10),
}
