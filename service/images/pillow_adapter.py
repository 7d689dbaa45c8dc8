"""Everything that the service uses of Pillow's internals; docs/dependencies.md lists the tested versions."""

from PIL.Image import core  # type: ignore[attr-defined]  # Pillow's C functions


def decode_png_rows(mode: str, size: tuple[int, int], data: bytes) -> bytes:
    """Return the pixels of the rows of a PNG, which are filtered and compressed with zlib.

    ``Image.frombytes`` and ``tobytes`` give the same and take 10 instead of 4 µs for an image of MNIST.

    Args:
        mode: L or RGB.
        size: width and height.
        data: content of the IDAT chunk.

    Raises:
        ValueError: the data is damaged or incomplete.
    """
    box = (0, 0, *size)
    pixels = core.new(mode, size)
    decoder = core.zip_decoder(mode, mode)
    decoder.setimage(pixels, box)
    position, error = decoder.decode(data)
    if position >= 0 or error:  # a position: the decoder expects more data
        raise ValueError("damaged or incomplete rows")
    encoder = core.raw_encoder(mode, mode)
    encoder.setimage(pixels, box)
    parts, is_over = [], 0
    while not is_over:
        _, is_over, part = encoder.encode(len(mode) * size[0] * size[1])
        parts.append(part)
    return b"".join(parts)
