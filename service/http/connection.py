"""An HTTP connection: uvicorn's, which bounds a request's head, and refuses at the head what there is no room for.

uvicorn makes a task and a dozen objects of a request before an application sees it. Past a model's capacity refusing is
most of the work, so the connection does that itself; whatever it is not sure of is the application's to answer.
"""

import asyncio
from functools import lru_cache
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.middleware import PATH
from service.http.request import read_headers
from service.http.responses import render, write_held, write_soon
from service.inference.worker import Worker
from service.problems import HeadTooLarge, Overloaded, Problem, RequestTimeout

MAX_HEADER_BYTES = (
    64 * 1024
)  # of request line and headers, or of trailers; a head that comes in one piece may have more
LINGER_S = 1.0  # that a client is still heard after its last answer: closed at once, it would see a reset instead


class HttpProtocol(HttpToolsProtocol):
    """A connection that hands requests on, or refuses them for its worker."""

    worker: ClassVar[Worker]

    # with seven attributes more, uvicorn's would no longer fit what Python lays out alike for all instances (30)
    __slots__ = "_aborted", "_body_due", "_closes", "_idle_since", "_timer", "_unfinished", "_unread"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give a client its time for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn asks for a transport of both directions
        self.ws_protocol_class = None  # no route speaks WebSocket
        self._unfinished = 0  # bytes that came in a row and neither ended a head nor belong to a body
        self._body_due = False  # a head has ended, and its request's end has not come
        self._closes = False  # once the body that is due has come
        self._aborted = False
        self._unread = 0  # bytes of answers that the client had not taken at the timer's last look
        self._idle_since = self.loop.time()  # when the last answer was sent, or the connection made
        self._schedule_check(self._idle_since + self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection, and of the requests on it that were not begun: they would hold it, and it them."""
        self._timer.cancel()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and refuse a head that grows too long."""
        if self._aborted:
            return
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEADER_BYTES:
            self._give_up(HeadTooLarge(f"the head has over {MAX_HEADER_BYTES} bytes; send fewer or shorter headers"))

    def on_message_begin(self) -> None:
        """Begin a head; uvicorn makes half of its scope here already, which a request that is refused needs not."""
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Refuse the request, or let uvicorn begin it."""
        if self._closes:
            return
        self._unfinished, self._body_due = 0, True
        if (why := self._find_refusal()) is None:
            head = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.headers, self.expect_100_continue = head
            self.scope["headers"] = self.headers
            super().on_headers_complete()
            return
        self.cycle = _REFUSED  # type: ignore[assignment]
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        if self.expect_100_continue or not keep_alive:  # who asked first may not send the body that is due
            self._closes = True
            self._write(self._render(Overloaded, why, (b"connection", b"close")))
        else:
            write_soon(self.loop, self.transport, self._render(Overloaded, why))
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        """Hand on a part of a body."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request; what comes next is another's head."""
        self._unfinished, self._body_due = 0, False
        super().on_message_complete()
        if self._closes:
            self.transport.close()
        elif self._is_idle():
            self._idle_since = self.loop.time()

    def on_response_complete(self) -> None:
        """Begin the next request, if it came already; uvicorn's, without a timer to be set and cancelled each time."""
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _check_timeouts(self) -> None:
        """Close a connection whose client is too slow: to send a request, the rest of one, or to read its answers."""
        unread, now = self.transport.get_write_buffer_size(), self.loop.time()
        if unread and unread == self._unread:
            self.transport.abort()
            return
        self._unread = unread
        is_receiving = self._unfinished or self._body_due
        patience = self.worker.settings.body_timeout_ms / 1000 if is_receiving else 0
        deadline = self._idle_since + self.timeout_keep_alive + patience
        if self._aborted or not self._is_idle():
            self._schedule_check(now + self.timeout_keep_alive)
        elif now < deadline:
            self._schedule_check(deadline)
        else:
            if self._unfinished and not self._body_due:
                self._give_up(RequestTimeout("the head was not received in time; send all of it at once"))
            else:
                self.transport.close()
            self._schedule_check(now + self.timeout_keep_alive)

    def _schedule_check(self, when: float) -> None:
        self._timer = self.loop.call_at(when, self._check_timeouts)

    def _is_idle(self) -> bool:
        """Return whether no request waits for its answer."""
        return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def send_400_response(self, msg: str) -> None:
        """Tell a client that it does not speak HTTP, once it was told the rest."""
        write_held()
        super().send_400_response(msg)

    def _find_refusal(self) -> str | None:
        """Return why the request is refused; None if it is not, or if that is the application's to say."""
        worker, parser = self.worker, self.parser
        if worker.state != "ready" or worker.settings.access_log or self.flow.write_paused or not self._is_idle():
            return None
        if parser.should_upgrade() or parser.get_method() != b"POST":
            return None
        if (found := _find_names(self.url)) is None:
            return None
        try:
            model = worker.models.find(*found)
        except Problem:
            return None
        why = model.batcher.expect(self.loop)
        if why is not None:
            model.metrics.requests.count_soon(Overloaded.status, self.loop)
        return why

    def _give_up(self, problem: Problem) -> None:
        """Send a last response, unless another is due, and close the connection soon."""
        self._aborted = True
        if self._is_idle():
            self._write(self._render(type(problem), problem.detail))
        self.loop.call_later(LINGER_S, self.transport.close)

    def _render(self, kind: type[Problem], detail: str, *headers: tuple[bytes, bytes]) -> bytes:
        request_id = read_headers({"headers": self.headers or ()}).request_id
        return render(kind, detail, request_id, (*self.server_state.default_headers, *headers))

    def _write(self, answer: bytes) -> None:
        write_held()
        self.transport.write(answer)


@lru_cache(maxsize=64)  # URLs; each is up to MAX_HEADER_BYTES
def _find_names(url: bytes) -> tuple[str, str | None] | None:
    """Return the names of the model and the version that shall classify; None if that is not what is asked for."""
    found = PATH.fullmatch(url.partition(b"?")[0].decode("latin-1"))
    if found is None or found[4] is None:  # errors of the inference protocol have another shape
        return None
    return found[2], found[3]


class _Refused:
    """What uvicorn takes for a request that was answered: the rest of its body is read and dropped."""

    response_complete = True
    message_event = asyncio.Event()


_REFUSED = _Refused()
