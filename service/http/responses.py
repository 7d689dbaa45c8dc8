"""Answers that a connection gives by itself: rendered once for all that are told the same, and written together."""

import asyncio
from collections.abc import Iterable
from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.problems import CONTENT_TYPE, Problem

Header = tuple[bytes, bytes]

MAX_HELD = 256  # answers; whoever sends that many requests at once shall feel it when he does not take the answers

_held: list[tuple[asyncio.Transport, bytes]] = []  # answers of this turn of the event loop, and for whom


def write_soon(loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, answer: bytes) -> None:
    """Write once this turn's requests are read: the first answer wakes a client, which is awake for the others."""
    if not _held:
        loop.call_soon(write_held)
    _held.append((transport, answer))
    if len(_held) >= MAX_HELD:
        write_held()


def write_held() -> None:
    """Write what waits; before anything else that a connection writes, or it would come first."""
    held = _held.copy()
    _held.clear()
    for transport, answer in held:
        if not transport.is_closing():
            transport.write(answer)


def render(kind: type[Problem], detail: str, request_id: bytes, headers: Iterable[Header]) -> bytes:
    """Return the answer with a problem, whole, with these headers besides its own."""
    before, after = _render_around_id(kind, detail, tuple(headers))  # type: ignore[arg-type]  # mypy 1 takes a class for unhashable
    return b"".join((before, request_id, after))


@lru_cache(maxsize=64)  # while a queue is full, many are told the same
def _render_around_id(kind: type[Problem], detail: str, headers: tuple[Header, ...]) -> tuple[bytes, bytes]:
    """Return what all answers with this problem have in common: what comes before the request's id, and after it."""
    problem = kind(detail)
    body = problem.render()
    rest = (b"content-type", CONTENT_TYPE), (b"content-length", b"%d" % len(body)), *problem.headers
    before, after = (b"".join(b"%b: %b\r\n" % line for line in lines) for lines in (headers, rest))
    return STATUS_LINE[kind.status] + before + b"x-request-id: ", b"\r\n" + after + b"\r\n" + body
