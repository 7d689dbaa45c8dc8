"""Limit on the bytes of an image."""

from service.problems import BodyTooLarge


def check_size(image: bytes, limit: int) -> None:
    """Check the limit on the bytes of an image.

    Raises:
        BodyTooLarge: the image is longer than ``limit``.
    """
    if len(image) > limit:
        raise BodyTooLarge(f"the image has {len(image)} bytes, expected at most {limit}")
