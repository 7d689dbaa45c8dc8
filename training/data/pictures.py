"""Picture files, decoded as the service decodes them."""

from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

from models.modes import plain


def open_picture(file: Path | BinaryIO, *, draft_side: int | None) -> Image.Image:
    """Return a picture upright, in mode L or RGB; ``draft_side`` is what :func:`models.preparation.draft_side` says.

    Raises:
        OSError: it cannot be read.
    """
    picture = Image.open(file)
    if draft_side is not None:
        picture.draft(None, (draft_side, draft_side))
    return plain(ImageOps.exif_transpose(picture))
