"""The decoder policy that training and service share: reduced JPEG decoding, EXIF orientation, colour modes."""

from contextlib import suppress

from PIL import Image, ImageOps

from models.preparation.color_modes import plain


def decode_upright(image: Image.Image, *, draft_side: int | None = None) -> Image.Image:
    """Decode the first frame of an opened image, upright, in mode L or RGB.

    Args:
        image: as opened by Pillow, not decoded yet.
        draft_side: a JPEG with larger sides is decoded at a half, a quarter or an eighth of its size, but no smaller
            than this; None decodes the full size. See :func:`models.preparation.preparer.draft_side`.

    Raises:
        Exception: whatever Pillow raises for damaged pixels.
    """
    if draft_side is not None:
        image.draft(None, (draft_side, draft_side))  # a square, since EXIF may yet turn the image
    image.load()
    if image.info:
        with suppress(Exception):  # damaged EXIF data rotates nothing, and the pixels are intact
            ImageOps.exif_transpose(image, in_place=True)
    return plain(image)
