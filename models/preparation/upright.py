"""Decoding to upright pictures, shared by training and service."""

from contextlib import suppress

from PIL import Image, ImageOps

from models.preparation.color_modes import plain

_TURNS = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_upright(image: Image.Image, *, draft_side: int | None = None, orientation: int | None = None) -> Image.Image:
    """Decode the first frame to an upright picture of mode L or RGB.

    Args:
        image: opened by Pillow but not decoded.
        draft_side: a JPEG with larger sides is decoded at 1/2, 1/4 or 1/8 of its size, but no smaller than this; None
            decodes the full size. See :func:`models.preparation.preparer.draft_side`.
        orientation: EXIF orientation, 1..8; None reads it from the image.

    Raises:
        Exception: any exception that Pillow raises for damaged pixels.
    """
    if draft_side is not None:
        image.draft(None, (draft_side, draft_side))  # a square, because EXIF may still rotate the image
    image.load()
    if orientation is None and image.info:
        with suppress(Exception):  # with damaged EXIF data the picture is not rotated
            ImageOps.exif_transpose(image, in_place=True)
    picture = plain(image)
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture
