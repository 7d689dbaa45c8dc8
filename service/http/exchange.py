"""One request that uvicorn's protocol and the ASGI application handle.

The connection parses the request and repeats it to a protocol of uvicorn, which writes the response to a transport of
its own. What one event-loop iteration writes there leaves in one system call. The application finds the exchange in
``scope["state"]``.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from service.http.request import EXCHANGE
from service.http.request_parser import Request
from service.http.uvicorn_adapter import Config, HttpToolsProtocol, ServerState
from service.inference.classify import FirstResult

if TYPE_CHECKING:
    from service.http.connection import Connection


class Exchange:
    """A request and its response, handled by uvicorn."""

    __slots__ = (
        "_connection",
        "_held",
        "_is_closing",
        "_is_over",
        "_protocol",
        "continued",
        "first_result",
        "has_begun",
        "is_abandoned",
        "is_admitted",
        "request",
        "timed_out",
    )

    def __init__(
        self,
        request: Request,
        connection: "Connection",
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        """Begin the request; the application starts in the next event-loop iteration."""
        self.request = request
        self.is_admitted = False  # the request was admitted before it became an exchange
        self.first_result: FirstResult | None = None  # of the image, if it needs a second look
        self.is_abandoned = False  # the client has left, or the body timed out
        self.timed_out = False  # the body did not arrive in time
        self.has_begun = False  # the response
        self.continued = False  # the client was asked for the body that it announced with Expect: 100-continue
        self._connection = connection
        self._held: list[bytes] = []  # parts of the response, not written yet
        self._is_closing = False  # uvicorn closed the transport
        self._is_over = False
        own_state = ServerState()  # uvicorn adds the task of the application to it
        own_state.default_headers = server_state.default_headers
        self._protocol = HttpToolsProtocol(config, own_state, {**app_state, EXCHANGE: self}, connection.loop)
        self._protocol.connection_made(Transport(self, connection))  # type: ignore[arg-type]
        self._protocol.data_received(_encode_headers(request))
        if not own_state.tasks:  # uvicorn has refused the target itself, and closes the connection
            connection.loop.call_soon(self._on_application_done, None)
        for task in own_state.tasks:
            server_state.tasks.add(task)  # uvicorn waits for them when it stops
            task.add_done_callback(server_state.tasks.discard)
            task.add_done_callback(self._on_application_done)

    @property
    def must_close(self) -> bool:
        """Whether the response has to close the connection, as the client may never send the body that it announced."""
        return self.request.expects_continue and not self.continued and not self.request.is_complete

    def receive(self, parts: Sequence[bytes]) -> None:
        """Pass on the next parts of the body."""
        if self._is_over or self.is_abandoned:
            return
        if not self.request.chunked:
            if parts:
                self._protocol.data_received(b"".join(parts))
            return
        data = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
        if self.request.is_complete:
            data.append(b"0\r\n\r\n")
        self._protocol.data_received(b"".join(data))

    def abandon(self, *, timed_out: bool = False) -> None:
        """End the request without a response."""
        self.is_abandoned, self.timed_out = True, timed_out
        self._held.clear()
        self._protocol.connection_lost(None)

    def shutdown(self) -> None:
        """Close the connection after the response, because the server stops."""
        self._protocol.shutdown()

    def pause_writing(self) -> None:
        """Make the application wait until the client reads."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Let the application continue."""
        self._protocol.resume_writing()

    def write(self, data: bytes) -> None:
        """Write a part of the response at the end of the event-loop iteration."""
        if self.is_abandoned:
            return
        if not self._held:
            self._connection.loop.call_soon(self.flush)
        self._held.append(data)
        if not self.has_begun:
            is_interim = data.startswith(b"HTTP/1.1 100 ")
            self.continued, self.has_begun = self.continued or is_interim, not is_interim
            if is_interim:
                self._connection.restart_body_timeout()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            held, self._held = self._held, []
            self._connection.write(b"".join(held))

    def close(self) -> None:
        """Close the connection after the response."""
        self._is_closing = True

    def _on_application_done(self, _task: asyncio.Task[None] | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        if not self.is_abandoned:
            self.flush()
            closes = self._is_closing or self.must_close
            self._protocol.connection_lost(None)  # it closes the transport
            self._connection.on_responded(close=closes)


class Transport:
    """What uvicorn's protocol sees of the connection's transport."""

    def __init__(self, exchange: Exchange, connection: "Connection") -> None:
        self.write, self.close = exchange.write, exchange.close
        self.get_extra_info, self.is_closing = connection.transport.get_extra_info, connection.transport.is_closing
        self.pause_reading, self.resume_reading = connection.pause_reading, connection.resume_reading


def _encode_headers(request: Request) -> bytes:
    """Return the request line and headers for uvicorn, which parses them again."""
    lines = [b"%b %b HTTP/%b\r\n" % (request.method, request.target, request.version.encode())]
    lines += [b"%b: %b\r\n" % header for header in request.headers]
    return b"".join((*lines, b"\r\n"))
