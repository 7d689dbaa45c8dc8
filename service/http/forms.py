"""Which images a body holds: raw bytes, or the parts of a form."""

import json
from contextlib import suppress

from service.http import multipart
from service.http.multipart import Part
from service.problems import BadRequest, BodyTooLarge
from service.settings import MAX_IMAGES

MAX_FIELDS = 16  # other parts of a form


def read_image(body: bytes, content_type: bytes) -> bytes:
    """Return the one image of a body: the body itself, or the form's part ``image``.

    Raises:
        BadRequest, BodyTooLarge: the form is malformed, or does not have exactly one such part.
    """
    if not multipart.is_multipart(content_type):
        return body
    return _only(multipart.parse(body, content_type, max_parts=1 + MAX_FIELDS), "image")


def read_named_image(body: bytes, content_type: bytes) -> tuple[str, bytes]:
    """Return the model's name and the image of BentoML's form, whose client writes text as JSON.

    Raises:
        BadRequest, BodyTooLarge: as read_image; or it is no form.
    """
    if not multipart.is_multipart(content_type):
        raise BadRequest("expected multipart/form-data with the parts `image` and `model`")
    parts = multipart.parse(body, content_type, max_parts=1 + MAX_FIELDS)
    name = _only(parts, "model").decode("utf-8", "replace")
    if name.startswith('"'):
        with suppress(ValueError):  # then it is the name as it stands
            name = str(json.loads(name))
    return name, _only(parts, "image")


def read_images(body: bytes, content_type: bytes) -> list[bytes]:
    """Return the parts ``images`` of a form, in order.

    Raises:
        BadRequest, BodyTooLarge: it is no form, a malformed one, without images or with too many.
    """
    if not multipart.is_multipart(content_type):
        raise BadRequest(f"expected multipart/form-data with 1 to {MAX_IMAGES} parts `images`")
    parts = multipart.parse(body, content_type, max_parts=MAX_IMAGES + MAX_FIELDS)
    images = [part.content for part in parts if part.name == "images"]
    if len(images) > MAX_IMAGES:
        raise BodyTooLarge(f"{len(images)} parts `images`, expected at most {MAX_IMAGES}")
    if not images:
        raise BadRequest(f"no part `images`, found {_names(parts)}")
    return images


def _only(parts: list[Part], name: str) -> bytes:
    found = [part.content for part in parts if part.name == name]
    if len(found) != 1:
        wanted = f"expected exactly one part `{name}`"
        raise BadRequest(f"{wanted}, found {_names(parts) if not found else len(found)}")
    if not found[0]:
        raise BadRequest(f"the part `{name}` is empty")
    return found[0]


def _names(parts: list[Part]) -> str:
    return ", ".join(f"`{part.name[:50]}`" for part in parts) or "no parts"
