"""BMP: size and compression."""

import struct

from service.images.containers.container import Container, check_sides
from service.problems import UnreadableImage

_RUN_LENGTHS = {1, 2}  # RLE8 and RLE4


def parse_bmp(body: bytes, max_pixels: int) -> Container:
    """Check the header of a BMP; the file is used as it is.

    Raises:
        ImageTooLarge: the image has more than ``max_pixels``, or a longer side than MAX_SIDE.
        UnreadableImage: the header is incomplete, or the pixels are run-length encoded. Pillow pads such rows in
            Python, and an escape code may skip 255 rows of any width: one file of 1 kB took 4.9 GB of memory.
    """
    try:
        (header_bytes,) = struct.unpack_from("<I", body, 14)
        if header_bytes == 12:  # OS/2
            width, height, _, _ = struct.unpack_from("<HHHH", body, 18)
            compression = 0
        else:
            width, height, _, _, compression = struct.unpack_from("<IiHHI", body, 18)
    except struct.error:
        raise UnreadableImage("the BMP cannot be decoded: incomplete header; send the complete file") from None
    if compression in _RUN_LENGTHS:
        raise UnreadableImage("the BMP is run-length encoded, which is not supported; save it as PNG")
    check_sides(width, abs(height), max_pixels)
    return Container(body=body, width=width, height=abs(height))
