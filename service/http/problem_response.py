"""HTTP responses for problems, in the format of the requested protocol."""

from collections.abc import Iterable
from functools import lru_cache

from service.http.response import NO_SNIFF, Header, encode_response
from service.open_inference.response import is_of_protocol, render_error
from service.problems import CONTENT_TYPE, Problem


def encode_problem(problem: Problem, path: str) -> tuple[list[Header], bytes]:
    """Return the headers, all but the request id, and the body of the response to a request for ``path``."""
    if is_of_protocol(path):
        content_type, body = b"application/json", render_error(problem)
    else:
        content_type, body = CONTENT_TYPE, problem.render()
    length = (b"content-length", b"%d" % len(body))
    return [(b"content-type", content_type), NO_SNIFF, length, *problem.headers], body


def encode_refusal(
    kind: type[Problem], detail: str, request_id: bytes, *, default_headers: Iterable[Header], close: bool
) -> bytes:
    """Return the complete response for a problem, which is rendered once for many requests."""
    before, after = _encode_around_id(kind, detail, tuple(default_headers), close)  # type: ignore[arg-type]  # mypy 1 considers a class unhashable
    return b"".join((before, request_id, after))


@lru_cache(maxsize=64)  # while a queue is full, many responses are equal
def _encode_around_id(
    kind: type[Problem], detail: str, default_headers: tuple[Header, ...], close: bool
) -> tuple[bytes, bytes]:
    """Return the parts of the response before and after the request id."""
    headers, body = encode_problem(kind(detail), path="")
    response = encode_response(
        kind.status, [*headers, (b"x-request-id", b"\0")], body, default_headers=default_headers, close=close
    )
    before, _, after = response.partition(b"\0")
    return before, after
