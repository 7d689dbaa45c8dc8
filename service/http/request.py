"""The request headers that the service uses, and ASGI types."""

import itertools
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.inference.classify import FirstResult

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID = "classifier.request_id"  # key in the ASGI scope for routes behind the middleware
EXCHANGE = "classifier.exchange"  # key in the scope's state

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_ids = itertools.count(1)
_process = secrets.token_hex(8).encode()


class ScopeExchange(Protocol):
    """What the application sees of the exchange with the client."""

    is_abandoned: bool  # the client has left, or the body timed out
    is_admitted: bool  # the request was admitted before it became an exchange
    first_result: FirstResult | None  # of the image, if it needs a second look
    timed_out: bool  # the body did not arrive in time

    @property
    def must_close(self) -> bool:
        """Whether the response has to close the connection."""


@dataclass(slots=True)
class Headers:
    """The request headers that the service uses."""

    request_id: bytes
    content_type: bytes = b""
    content_length: int | None = None


def parse_headers(scope: Scope) -> Headers:
    """Parse the headers that the service uses, in one pass.

    The request id is the first valid X-Request-ID, or a new one.
    """
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


def _new_request_id() -> bytes:
    return b"%b-%x" % (_process, next(_ids))
