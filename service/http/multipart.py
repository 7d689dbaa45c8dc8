"""Parser for multipart/form-data (RFC 7578) in a body in memory."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from service.problems import BadRequest, BodyTooLarge

_MAX_HEADERS = 8192  # bytes per part

_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_DISPOSITION = re.compile(rb"(?:^|\r\n)content-disposition:[ \t]*form-data[ \t]*(;[^\r\n]*)", re.IGNORECASE)
_PARAMETER = re.compile(rb';[ \t]*([^\s=;"]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')  # a quoted string is one token


class Part(NamedTuple):
    """One field of a form."""

    name: str
    content: bytes


def is_multipart(content_type: bytes) -> bool:
    """Return whether a Content-Type header is multipart/form-data."""
    return content_type[:19].lower() == b"multipart/form-data"


def parse(body: bytes, content_type: bytes, *, max_parts: int) -> list[Part]:
    """Return the parts of ``body`` in order.

    Raises:
        BadRequest: the boundary is missing, or the body violates RFC 7578.
        BodyTooLarge: the form has more than ``max_parts`` parts.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadRequest("Content-Type: multipart/form-data without a boundary, expected `; boundary=...`")
    parts = []
    for content in _split(body, b"--" + (found[1] or found[2])):
        parts.append(content)
        if len(parts) > max_parts:
            raise BodyTooLarge(f"the form has over {max_parts} parts, expected at most {max_parts}")
    return parts


def _split(body: bytes, delimiter: bytes) -> Iterator[Part]:
    """Yield the parts between delimiters.

    A delimiter is CRLF, ``--boundary``, blanks and CRLF; the last one is CRLF and ``--boundary--``.
    """
    start = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if start == 1:  # not found
        raise BadRequest("malformed multipart body: it does not contain the boundary")
    separator = b"\r\n" + delimiter
    start += len(delimiter)
    while body[start : start + 2] != b"--":
        line_end = body.find(b"\r\n", start)
        end = body.find(separator, line_end)
        if line_end < 0 or body[start:line_end].strip(b" \t") or end < 0:
            raise BadRequest("malformed multipart body: no closing boundary; was the upload cut off?")
        yield _parse_part(body, line_end + 2, end)
        start = end + len(separator)


def _parse_part(body: bytes, start: int, end: int) -> Part:
    """Parse one part: header lines, an empty line and the content."""
    headers_end = body.find(b"\r\n\r\n", start, min(end, start + _MAX_HEADERS))
    disposition = _DISPOSITION.search(body[start:headers_end]) if headers_end >= 0 else None
    parameters = _PARAMETER.finditer(disposition[1]) if disposition else ()
    name = next((match for match in parameters if match[1].lower() == b"name"), None)
    if name is None:
        raise BadRequest(
            'malformed multipart body: a part without `Content-Disposition: form-data; name="..."` '
            f"in its first {_MAX_HEADERS} bytes"
        )
    raw_name = name[2] if name[2] is not None else name[3]
    if b"\\" in raw_name:
        raw_name = re.sub(rb"\\(.)", rb"\1", raw_name)
    return Part(raw_name.decode("utf-8", "replace"), body[headers_end + 4 : end])
