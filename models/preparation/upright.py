"""Decoding to upright pictures, shared by training and service."""

from contextlib import suppress

from PIL import Image, ImageOps

from models.preparation.color_modes import plain


def decode_upright(image: Image.Image, *, draft_side: int | None = None) -> Image.Image:
    """Decode the first frame to an upright picture of mode L or RGB.

    Args:
        image: opened by Pillow but not decoded.
        draft_side: a JPEG with larger sides is decoded at 1/2, 1/4 or 1/8 of its size, but no smaller than this; None
            decodes the full size. See :func:`models.preparation.preparer.draft_side`.

    Raises:
        Exception: any exception that Pillow raises for damaged pixels.
    """
    if draft_side is not None:
        image.draft(None, (draft_side, draft_side))  # a square, because EXIF may still rotate the image
    image.load()
    if image.info:
        with suppress(Exception):  # with damaged EXIF data the picture is not rotated
            ImageOps.exif_transpose(image, in_place=True)
    return plain(image)
