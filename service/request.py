"""What the hot routes read of a request: headers in one pass, query, and a body held to size, budget and time."""

import itertools
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from service.jobs import ClientLeft
from service.problems import BadRequest, BodyTooLarge, Overloaded

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID = "classifier.request_id"  # the scope's key for routes behind the hot ones

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_MAX_QUERY = 4096  # bytes
_ids = itertools.count(1)
_process = secrets.token_hex(8).encode()


@dataclass(slots=True)
class Headers:
    """The request headers that matter here."""

    request_id: bytes
    content_type: bytes = b""
    content_length: int | None = None


def read_headers(scope: Scope) -> Headers:
    """Pick our headers out of the request's, in one pass; the id as find_request_id does."""
    headers = Headers(b"")
    for name, value in scope["headers"]:
        if name == b"content-type":
            headers.content_type = value
        elif name == b"content-length" and value.isdigit():
            headers.content_length = int(value)
        elif name == b"x-request-id" and not headers.request_id and _REQUEST_ID.fullmatch(value):
            headers.request_id = value
    headers.request_id = headers.request_id or _new_request_id()
    return headers


def find_request_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the first X-Request-ID that is fit to be one, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value
    return _new_request_id()


def _new_request_id() -> bytes:
    return b"%b-%x" % (_process, next(_ids))


@dataclass(slots=True, frozen=True)
class Query:
    """What an answer shall have."""

    top: int | None = None  # the so many likeliest classes alone
    explain: bool = False  # which pixels made it
    pixels: bool = False  # the pixels that the model saw


_PLAIN = Query()


def read_query(query_string: bytes) -> Query:
    """Read ``top``, ``explain`` and ``pixels``; a parameter of another name is nobody's business.

    Raises:
        BadRequest: ``top`` is not a positive whole number, another is not true or false, or the query is too long.
    """
    if not query_string:
        return _PLAIN
    if len(query_string) > _MAX_QUERY:
        raise BadRequest(f"the query has {len(query_string)} bytes, expected at most {_MAX_QUERY}")
    fields = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    top = fields.get("top")
    if top is not None and not (top.isascii() and top.isdigit() and len(top) < 10 and int(top) > 0):
        raise BadRequest(f"top={top[:50]!r}: expected a whole number from 1 on")
    return Query(
        top=None if top is None else int(top),
        explain=_read_flag(fields, "explain"),
        pixels=_read_flag(fields, "pixels"),
    )


def _read_flag(fields: Mapping[str, str], name: str) -> bool:
    value = fields.get(name, "false")
    if value not in {"true", "false"}:
        raise BadRequest(f"{name}={value[:50]!r}: expected true or false")
    return value == "true"


class BytesBudget:
    """The bytes of all bodies that a worker holds at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    async def read(self, receive: Receive, headers: Headers, *, limit: int) -> bytes:
        """Read a whole body; the caller releases its bytes when it is done with them.

        Raises:
            BodyTooLarge: it is longer than ``limit`` bytes, announced or found.
            BadRequest: it is empty.
            Overloaded: the budget is spent.
            ClientLeft: the connection closed before its end.
        """
        if headers.content_length is not None and headers.content_length > limit:
            raise BodyTooLarge(f"the body has {headers.content_length} bytes, expected at most {limit}")
        chunks: list[bytes] = []
        length, more = 0, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                chunk, more = message.get("body", b""), message.get("more_body", False)
                length += len(chunk)
                self.held += len(chunk)
                if length > limit:
                    raise BodyTooLarge(f"the body has more than {limit} bytes, expected at most {limit}")
                if self.held > self.limit:
                    raise Overloaded(f"uploads of over {self.limit} bytes are being worked on; try again later")
                chunks.append(chunk)
            if not length:
                raise BadRequest("the body is empty, expected an image")
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except BaseException:
            self.held -= length
            raise

    def release(self, body: bytes) -> None:
        """Give the bytes of a body back."""
        self.held -= len(body)
