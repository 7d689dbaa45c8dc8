"""The options of a classify request: ``top``, ``explain`` and ``pixels``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from service.problems import BadRequest

_MAX_QUERY = 4096  # bytes
SINGLE_OPTIONS = ("explain", "pixels", "top")
BATCH_OPTIONS = ("top",)


@dataclass(slots=True, frozen=True)
class ClassifyOptions:
    """The options of a classify request."""

    top: int | None = None  # number of most probable classes to return; None for all
    explain: bool = False  # whether to return the saliency
    pixels: bool = False  # whether to return the preprocessed image


DEFAULT_OPTIONS = ClassifyOptions()


def parse_options(query_string: bytes, allowed: Sequence[str] = SINGLE_OPTIONS) -> ClassifyOptions:
    """Parse the ``allowed`` parameters of a query.

    Raises:
        BadRequest: another parameter, ``top`` is not a positive whole number, another value is not true or false, or
            the query is too long.
    """
    if not query_string:
        return DEFAULT_OPTIONS
    if len(query_string) > _MAX_QUERY:
        raise BadRequest(f"the query has {len(query_string)} bytes, expected at most {_MAX_QUERY}")
    fields = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    if unknown := sorted(fields.keys() - set(allowed)):
        raise BadRequest(f"unsupported query parameter '{unknown[0][:50]}', expected {', '.join(allowed)}")
    top = fields.get("top")
    if top is not None and not (top.isascii() and top.isdigit() and len(top) < 10 and int(top) > 0):
        raise BadRequest(f"top={top[:50]!r}: expected a whole number, at least 1")
    return ClassifyOptions(
        top=None if top is None else int(top),
        explain=_parse_flag(fields, "explain"),
        pixels=_parse_flag(fields, "pixels"),
    )


def _parse_flag(fields: Mapping[str, str], name: str) -> bool:
    value = fields.get(name, "false")
    if value.lower() not in {"true", "false"}:  # Python clients send True
        raise BadRequest(f"{name}={value[:50]!r}: expected true or false")
    return value.lower() == "true"
