"""Decoding of picture files, by the same policy as the service."""

from pathlib import Path
from typing import BinaryIO

from PIL import Image

from models.preparation.upright import decode_upright


def open_picture(file: Path | BinaryIO, *, draft_side: int | None) -> Image.Image:
    """Decode a picture, upright, in mode L or RGB.

    Args:
        file: in any format that Pillow reads.
        draft_side: see :func:`models.preparation.preparer.draft_side`.

    Raises:
        OSError: the file is unreadable.
    """
    return decode_upright(Image.open(file), draft_side=draft_side)
