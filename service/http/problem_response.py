"""HTTP responses for problems, in the format of the requested protocol."""

from collections.abc import Iterable
from functools import lru_cache

from service.http.uvicorn_adapter import STATUS_LINE
from service.open_inference.response import is_of_protocol, render_error
from service.problems import CONTENT_TYPE, Problem

Header = tuple[bytes, bytes]


def encode_problem(problem: Problem, path: str) -> tuple[list[Header], bytes]:
    """Return the headers, all but the request id, and the body of the response to a request for ``path``."""
    if is_of_protocol(path):
        content_type, body = b"application/json", render_error(problem)
    else:
        content_type, body = CONTENT_TYPE, problem.render()
    return [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *problem.headers], body


def encode_message(kind: type[Problem], detail: str, request_id: bytes, headers: Iterable[Header]) -> bytes:
    """Return a complete HTTP/1.1 message with a problem and additional headers."""
    before, after = _encode_around_id(kind, detail, tuple(headers))  # type: ignore[arg-type]  # mypy 1 considers a class unhashable
    return b"".join((before, request_id, after))


@lru_cache(maxsize=64)  # while a queue is full, many responses are equal
def _encode_around_id(kind: type[Problem], detail: str, headers: tuple[Header, ...]) -> tuple[bytes, bytes]:
    """Return the parts of the message before and after the request id."""
    problem_headers, body = encode_problem(kind(detail), path="")
    before, after = (b"".join(b"%b: %b\r\n" % line for line in lines) for lines in (headers, problem_headers))
    return STATUS_LINE[kind.status] + before + b"x-request-id: ", b"\r\n" + after + b"\r\n" + body
