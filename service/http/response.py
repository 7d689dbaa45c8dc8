"""Headers of predictions, and the encoding of complete HTTP/1.1 responses as uvicorn encodes them."""

from collections.abc import Iterable, Sequence

from service.http.uvicorn_adapter import STATUS_LINE
from service.inference.classify import Timing

Header = tuple[bytes, bytes]

NO_SNIFF: Header = (b"x-content-type-options", b"nosniff")  # a browser must not guess another type
CLOSE: Header = (b"connection", b"close")
JSON: Sequence[Header] = ((b"content-type", b"application/json"),)


def success_headers(body: bytes, request_id: bytes, timing: Timing, described: Sequence[Header] = JSON) -> list[Header]:
    """Return the headers of a response with predictions; ``described`` are those that describe the body."""
    return [
        *described,
        NO_SNIFF,
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id),
        (b"server-timing", timing.header()),
    ]


def encode_response(
    status: int, headers: Iterable[Header], body: bytes, *, default_headers: Iterable[Header], close: bool
) -> bytes:
    """Return a response as bytes.

    Args:
        status: the status code.
        headers: of the response, with its content length.
        body: of the response.
        default_headers: of every response, written first.
        close: whether the connection closes after the response.
    """
    all_headers = [*default_headers, *headers]
    if close and CLOSE not in all_headers:
        all_headers.append(CLOSE)
    lines = [b"%b: %b\r\n" % header for header in all_headers]
    return b"".join((STATUS_LINE[status], *lines, b"\r\n", body))
