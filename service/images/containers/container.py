"""The parts of an image file that decoding needs."""

from dataclasses import dataclass

from service.problems import ImageTooLarge

MAX_SIDE = 65_535  # pixels; a longer row or column costs Pillow memory per row, and no camera or scanner makes one


@dataclass(slots=True, frozen=True, kw_only=True)
class Container:
    """An image file without its metadata."""

    body: bytes
    width: int  # as in the header, before the image is rotated
    height: int
    orientation: int | None = 1  # EXIF, 1..8; None if the decoder applies it
    passes: float = 1.0  # how often each pixel is decoded
    has_end: bool = True  # the file ends with the marker of its format


def check_sides(width: int, height: int, max_pixels: int) -> None:
    """Check the limits on each side and on the area.

    Raises:
        ImageTooLarge: a limit is exceeded.
    """
    if width * height > max_pixels:
        raise ImageTooLarge(f"the image has {width} x {height} pixels, expected at most {max_pixels} in total")
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(f"the image has {width} x {height} pixels, expected at most {MAX_SIDE} on each side")
