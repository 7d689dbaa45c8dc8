"""Parser for multipart/form-data (RFC 7578) in a body that is already in memory."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from service.problems import BadRequest, BodyTooLarge

_MAX_HEADERS = 8192  # bytes, of one part

_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition:[ \t]*form-data[ \t]*;(.*)$", re.IGNORECASE | re.MULTILINE)
_NAME = re.compile(rb'(?:^|;)[ \t]*name=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)


class Part(NamedTuple):
    """One field of a form."""

    name: str
    content: bytes


def is_multipart(content_type: bytes) -> bool:
    """Tell whether a Content-Type header announces a form with parts."""
    return content_type[:19].lower() == b"multipart/form-data"


def parse(body: bytes, content_type: bytes, *, max_parts: int) -> list[Part]:
    """Return the parts of ``body`` in order.

    Raises:
        BadRequest: the boundary is missing, or the body is not built as RFC 7578 says.
        BodyTooLarge: there are more than ``max_parts``.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadRequest("Content-Type: multipart/form-data without a boundary, expected `; boundary=...`")
    parts = []
    for content in _split(body, b"--" + (found[1] or found[2])):
        parts.append(content)
        if len(parts) > max_parts:
            raise BodyTooLarge(f"more than {max_parts} parts, expected at most {max_parts}")
    return parts


def _split(body: bytes, delimiter: bytes) -> Iterator[Part]:
    """Yield the part between each two delimiters: CRLF, ``--boundary``, blanks, CRLF; the last ends in ``--``."""
    start = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if start == 1:  # not found
        raise BadRequest("malformed multipart body: its boundary does not occur in it")
    separator = b"\r\n" + delimiter
    start += len(delimiter)
    while body[start : start + 2] != b"--":
        head = body.find(b"\r\n", start)
        end = body.find(separator, head)
        if head < 0 or body[start:head].strip(b" \t") or end < 0:
            raise BadRequest("malformed multipart body: no closing boundary; was the upload cut off?")
        yield _part(body, head + 2, end)
        start = end + len(separator)


def _part(body: bytes, start: int, end: int) -> Part:
    """Read one part: header lines, an empty line, the content."""
    blank = body.find(b"\r\n\r\n", start, min(end, start + _MAX_HEADERS))
    disposition = _DISPOSITION.search(body[start:blank].replace(b"\r", b"")) if blank >= 0 else None
    name = _NAME.search(disposition[1]) if disposition else None
    if name is None:
        raise BadRequest(
            'malformed multipart body: a part without `Content-Disposition: form-data; name="..."` '
            f"in its first {_MAX_HEADERS} bytes"
        )
    quoted = name[1] if name[1] is not None else name[2]
    return Part(re.sub(rb"\\(.)", rb"\1", quoted).decode("utf-8", "replace"), body[blank + 4 : end])
