"""The images of a request body: the body itself, or the parts of a form."""

import json
from contextlib import suppress

from service.http import multipart
from service.http.multipart import Part
from service.problems import BadRequest, BodyTooLarge
from service.settings import MAX_IMAGES

MAX_FIELDS = 16  # additional parts of a form


def extract_image(body: bytes, content_type: bytes) -> bytes:
    """Return the image of a body: the body itself, or the part ``image`` of a form.

    Raises:
        BadRequest, BodyTooLarge: the form is malformed or does not have exactly one part ``image``.
    """
    if not multipart.is_multipart(content_type):
        return body
    return _single_part(multipart.parse(body, content_type, max_parts=1 + MAX_FIELDS), "image")


def extract_named_image(body: bytes, content_type: bytes) -> tuple[str, bytes]:
    """Return the model name (plain or as JSON) and the image of a BentoML form.

    Raises:
        BadRequest, BodyTooLarge: as in extract_image, or the body is not a form.
    """
    if not multipart.is_multipart(content_type):
        raise BadRequest("expected multipart/form-data with the parts `image` and `model`")
    parts = multipart.parse(body, content_type, max_parts=1 + MAX_FIELDS)
    name = _single_part(parts, "model").decode("utf-8", "replace")
    if name.startswith('"'):
        with suppress(ValueError):  # not JSON, so it is the name itself
            name = str(json.loads(name))
    return name, _single_part(parts, "image")


def extract_images(body: bytes, content_type: bytes) -> list[bytes]:
    """Return the parts ``images`` of a form, in order.

    Raises:
        BadRequest, BodyTooLarge: the body is not a form, is malformed, or has no images or too many.
    """
    if not multipart.is_multipart(content_type):
        raise BadRequest(f"expected multipart/form-data with 1 to {MAX_IMAGES} parts `images`")
    parts = multipart.parse(body, content_type, max_parts=MAX_IMAGES + MAX_FIELDS)
    images = [part.content for part in parts if part.name == "images"]
    if len(images) > MAX_IMAGES:
        raise BodyTooLarge(f"{len(images)} parts `images`, expected at most {MAX_IMAGES}")
    if not images:
        raise BadRequest(f"expected 1 to {MAX_IMAGES} parts `images`, found {_part_names(parts)}")
    return images


def _single_part(parts: list[Part], name: str) -> bytes:
    contents = [part.content for part in parts if part.name == name]
    if len(contents) != 1:
        expected = f"expected exactly one part `{name}`"
        raise BadRequest(f"{expected}, found {_part_names(parts) if not contents else len(contents)}")
    if not contents[0]:
        raise BadRequest(f"the part `{name}` is empty")
    return contents[0]


def _part_names(parts: list[Part]) -> str:
    return ", ".join(f"`{part.name[:50]}`" for part in parts) or "no parts"
