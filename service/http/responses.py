"""Refusals from the connection itself, rendered once and written in groups."""

import asyncio
from collections.abc import Iterable
from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.problems import CONTENT_TYPE, Problem

Header = tuple[bytes, bytes]

MAX_HELD = 256  # responses; writing them applies back pressure to clients that do not read

_held: list[tuple[asyncio.Transport, bytes]] = []  # responses of this event-loop iteration


def write_soon(loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, answer: bytes) -> None:
    """Write a response at the end of the event-loop iteration.

    All held responses are written together, because the first write already wakes the client.
    """
    if not _held:
        loop.call_soon(write_held)
    _held.append((transport, answer))
    if len(_held) >= MAX_HELD:
        write_held()


def write_held() -> None:
    """Write the held responses; call it before any other write, to keep the order."""
    held = _held.copy()
    _held.clear()
    for transport, answer in held:
        if not transport.is_closing():
            transport.write(answer)


def render(kind: type[Problem], detail: str, request_id: bytes, headers: Iterable[Header]) -> bytes:
    """Return a complete response with a problem and additional headers."""
    before, after = _render_around_id(kind, detail, tuple(headers))  # type: ignore[arg-type]  # mypy 1 considers a class unhashable
    return b"".join((before, request_id, after))


@lru_cache(maxsize=64)  # while a queue is full, many responses are equal
def _render_around_id(kind: type[Problem], detail: str, headers: tuple[Header, ...]) -> tuple[bytes, bytes]:
    """Return the parts of the response before and after the request id."""
    problem = kind(detail)
    body = problem.render()
    rest = (b"content-type", CONTENT_TYPE), (b"content-length", b"%d" % len(body)), *problem.headers
    before, after = (b"".join(b"%b: %b\r\n" % line for line in lines) for lines in (headers, rest))
    return STATUS_LINE[kind.status] + before + b"x-request-id: ", b"\r\n" + after + b"\r\n" + body
