"""uvicorn's HTTP connection with header limits, timeouts and early refusals.

uvicorn creates a task and a dozen objects per request before the application sees it. Under overload most requests are
refused, so the connection refuses them itself, as soon as the headers are parsed. Every other request goes to the
application.
"""

import asyncio
from functools import lru_cache
from typing import ClassVar

from service.http.coalesced_writes import CoalescedWrites
from service.http.middleware import PATH
from service.http.problem_response import encode_message
from service.http.request import parse_headers
from service.http.uvicorn_adapter import HttpToolsProtocol
from service.inference.worker import Worker
from service.problems import HeadTooLarge, Overloaded, Problem, RequestTimeout

MAX_HEADER_BYTES = 64 * 1024  # request line and headers, or trailers; may be exceeded if they arrive in one piece


class HttpProtocol(HttpToolsProtocol):
    """A connection that passes requests on or refuses them."""

    worker: ClassVar[Worker]
    linger_s: ClassVar[float] = 1.0  # from the last response to closing, so that the client does not see a reset
    refusals: ClassVar[CoalescedWrites] = CoalescedWrites()  # of all connections

    # Slots: with more than 30 attributes in the dictionary, instances could not share its keys.
    __slots__ = "_aborted", "_body_due", "_closes_after_body", "_idle_since", "_timer", "_unfinished", "_unread"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timeout for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn's annotation is narrower
        self.ws_protocol_class = None  # no route uses WebSocket
        self._unfinished = 0  # bytes of an incomplete header section or incomplete trailers
        self._body_due = False  # the headers are complete and the request is not
        self._closes_after_body = False  # close after the rest of the body
        self._aborted = False
        self._unread = 0  # response bytes that the client had not read at the last check
        self._idle_since = self.loop.time()  # time of the last response, or of the connection
        self._schedule_check(self._idle_since + self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop pipelined requests, which form a reference cycle with the connection."""
        self._timer.cancel()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and refuse a header section that is too large."""
        if self._aborted:
            return
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEADER_BYTES:
            self._refuse_and_close(
                HeadTooLarge(f"the header section has over {MAX_HEADER_BYTES} bytes; send fewer or shorter headers")
            )

    def on_message_begin(self) -> None:
        """Reset the request state.

        uvicorn would also create the ASGI scope, which a refused request does not need.
        """
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Refuse the request, or let uvicorn start it."""
        if self._closes_after_body:
            return
        self._unfinished, self._body_due = 0, True
        if (refusal := self._find_refusal()) is None:
            parsed = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.headers, self.expect_100_continue = parsed
            self.scope["headers"] = self.headers
            super().on_headers_complete()
            return
        self.cycle = _REFUSED  # type: ignore[assignment]
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        if self.expect_100_continue or not keep_alive:  # after Expect: 100-continue the client may never send the body
            self._closes_after_body = True
            self._write(self._render(Overloaded, refusal, (b"connection", b"close")))
        else:
            self.refusals.write_soon(self.loop, self.transport, self._render(Overloaded, refusal))
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a chunk of a body."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._unfinished, self._body_due = 0, False
        super().on_message_complete()
        if self._closes_after_body:
            self.transport.close()
        elif self._is_idle():
            self._idle_since = self.loop.time()

    def on_response_complete(self) -> None:
        """Start the next pipelined request, without uvicorn's timer per request."""
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _check_timeouts(self) -> None:
        """Close the connection if the client sends or reads too slowly."""
        unread, now = self.transport.get_write_buffer_size(), self.loop.time()
        if unread and unread == self._unread:
            self.transport.abort()
            return
        self._unread = unread
        is_receiving = self._unfinished or self._body_due
        body_time_s = self.worker.settings.body_timeout_ms / 1000 if is_receiving else 0
        deadline = self._idle_since + self.timeout_keep_alive + body_time_s
        if self._aborted or not self._is_idle():
            self._schedule_check(now + self.timeout_keep_alive)
        elif now < deadline:
            self._schedule_check(deadline)
        else:
            if self._unfinished and not self._body_due:
                self._refuse_and_close(
                    RequestTimeout("the header section did not arrive in time; send all of it at once")
                )
            else:
                self.transport.close()
            self._schedule_check(now + self.timeout_keep_alive)

    def _schedule_check(self, when: float) -> None:
        self._timer = self.loop.call_at(when, self._check_timeouts)

    def _is_idle(self) -> bool:
        """Return whether no response is pending on an open connection."""
        return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def send_400_response(self, msg: str) -> None:
        """Refuse malformed HTTP, after writing the held refusals."""
        self.refusals.flush()
        super().send_400_response(msg)

    def _find_refusal(self) -> str | None:
        """Return why to refuse the request here, or None to let the application decide."""
        worker, parser = self.worker, self.parser
        if worker.state != "ready" or worker.settings.access_log or self.flow.write_paused or not self._is_idle():
            return None
        if parser.should_upgrade() or parser.get_method() != b"POST":
            return None
        if (names := _find_names(self.url)) is None:
            return None
        try:
            model = worker.models.find(*names)
        except Problem:
            return None
        refusal = model.batcher.expect(self.loop)
        if refusal is not None:
            model.metrics.requests.count_soon(Overloaded.status, self.loop)
        return refusal

    def _refuse_and_close(self, problem: Problem) -> None:
        """Send a last response, unless another is pending, and close after linger_s."""
        self._aborted = True
        if self._is_idle():
            self._write(self._render(type(problem), problem.detail))
        self.loop.call_later(self.linger_s, self.transport.close)

    def _render(self, kind: type[Problem], detail: str, *headers: tuple[bytes, bytes]) -> bytes:
        request_id = parse_headers({"headers": self.headers or ()}).request_id
        return encode_message(kind, detail, request_id, (*self.server_state.default_headers, *headers))

    def _write(self, response: bytes) -> None:
        self.refusals.flush()
        self.transport.write(response)


@lru_cache(maxsize=64)  # URLs of up to MAX_HEADER_BYTES
def _find_names(url: bytes) -> tuple[str, str | None] | None:
    """Return the model and version names in a classify URL, or None for other URLs."""
    match = PATH.fullmatch(url.partition(b"?")[0].decode("latin-1"))
    if match is None or match[4] is None:  # errors of the Open Inference Protocol have another format
        return None
    return match[2], match[3]


class _Refused:
    """A finished request cycle, so that uvicorn discards the rest of the body."""

    response_complete = True
    message_event = asyncio.Event()


_REFUSED = _Refused()
