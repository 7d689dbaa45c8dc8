"""One client connection: framing, the order of responses, timeouts, and the choice of who responds.

uvicorn creates a connection for every accepted socket. The fast path responds to small classify requests without a
task, a timer or an ASGI scope. A request that a queue has no room for is refused as soon as its headers are parsed.
Every other request is an exchange with uvicorn's protocol and the ASGI application. The requests of a connection are
handled one after the other; the bytes of later ones stay unparsed until the response is written.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from service.http.access_log import log_request
from service.http.coalesced_writes import CoalescedWrites
from service.http.exchange import Exchange
from service.http.fast_path import FastPath, FastRequest
from service.http.problem_response import encode_problem, encode_refusal
from service.http.request import parse_headers
from service.http.request_parser import RequestParser, check_target
from service.http.response import Header, encode_response
from service.http.timeouts import Timeouts
from service.http.uvicorn_adapter import Config, ServerState
from service.inference.classify import FirstResult
from service.inference.repository import ServedModel
from service.problems import Overloaded, Problem, RequestTimeout

READ_AHEAD_BYTES = 64 * 1024  # unparsed bytes after which the connection stops reading
MIN_BYTES_PER_S = 1024  # of a body, on average after the first CLASSIFIER_BODY_TIMEOUT_MS
HALF_CLOSE_S = 0.1  # a client that ends its side this soon after its request still reads the response


class Connection(asyncio.Protocol):
    """A connection that a client opened; uvicorn calls it as it calls its own protocols."""

    fast_path: ClassVar[FastPath]
    timeouts: ClassVar[Timeouts]
    linger_s: ClassVar[float] = 1.0  # from the last response to closing, so that the client does not see a reset
    refusals: ClassVar[CoalescedWrites] = CoalescedWrites()  # of all connections

    __slots__ = (
        "_app_state",
        "_body_began",
        "_body_progress",
        "_body_timeout_s",
        "_config",
        "_handler",
        "_has_failed",
        "_has_responded",
        "_idle_since",
        "_is_processing",
        "_is_stopping",
        "_keep_alive_s",
        "_last_received",
        "_linger_until",
        "_parser",
        "_reads",
        "_received",
        "_sent_eof",
        "_server_state",
        "_takes_body",
        "_unread",
        "_unread_since",
        "_writes",
        "loop",
        "transport",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config, self._server_state, self._app_state = config, server_state, app_state
        self._keep_alive_s = float(config.timeout_keep_alive)
        self._body_timeout_s = self.fast_path.worker.settings.body_timeout_ms / 1000
        self.loop = _loop or asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self._parser = RequestParser()
        self._handler: FastRequest | Exchange | None = None  # of the current request
        self._has_responded = False  # to the current request
        self._has_failed = False  # the bytes were invalid or too slow, so the connection closes
        self._is_processing = False
        self._is_stopping = self.fast_path.worker.state == "draining"  # the server stops
        self._sent_eof = False  # the client sends no more
        self._reads = True  # the transport receives
        self._writes = True  # the client reads its responses
        self._takes_body = True  # the application reads the body
        self._linger_until: float | None = None  # the last response is written
        self._idle_since = self._last_received = self._unread_since = self.loop.time()
        self._body_began = self._body_progress = self._idle_since
        self._received = 0  # bytes of the current body
        self._unread = 0  # response bytes that the client had not read at the last check

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timeout for the first request."""
        self.transport = transport  # type: ignore[assignment]
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn calls shutdown
        self.timeouts.add(self, self.loop)

    def connection_lost(self, _error: Exception | None) -> None:
        """Drop the current request."""
        self._server_state.connections.discard(self)
        self.timeouts.discard(self)
        if self._handler is not None and not self._has_responded:
            self._handler.abandon()
        self._handler = None

    def data_received(self, data: bytes) -> None:
        """Parse received bytes and handle the requests in them."""
        self._last_received = self._body_progress = self.loop.time()
        if self._linger_until is None:
            self._process(data)

    def eof_received(self) -> bool:
        """Keep the connection open for the response to a complete request, if the client still waits for it."""
        self._sent_eof = True
        is_waiting = self._handler is not None and self._parser.request.is_complete and not self._has_responded
        if self._handler is None and self._parser.num_buffered:  # perhaps a complete request
            self.loop.call_soon(self._continue)
            is_waiting = True
        is_recent = self.loop.time() - self._last_received <= HALF_CLOSE_S
        return is_waiting and is_recent and self.transport.can_write_eof()  # TLS has no half-closed connections

    def pause_writing(self) -> None:
        """Stop reading while the client does not read its responses."""
        self._writes = False
        self._update_reading()
        if isinstance(self._handler, Exchange):
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Continue."""
        self._writes = True
        if isinstance(self._handler, Exchange):
            self._handler.resume_writing()
        self._continue()

    # Called by uvicorn.

    def shutdown(self) -> None:
        """Close the connection, after the current response if there is one."""
        self._is_stopping = True
        if self._handler is None or self._has_responded:
            self._close()
        elif isinstance(self._handler, Exchange):
            self._handler.shutdown()

    @property
    def _is_last(self) -> bool:
        """Whether the client sends no more, and has sent nothing after the current request."""
        return self._sent_eof and not self._parser.num_buffered

    # Called by the handlers.

    def write(self, data: bytes) -> None:
        """Write after the responses that are held."""
        self.refusals.flush()
        if not self.transport.is_closing():
            self.transport.write(data)

    def respond(self, status: int, headers: Iterable[Header], body: bytes, *, close: bool = False) -> None:
        """Write a complete response."""
        close = close or self._is_stopping or self._is_last or not self._parser.request.keep_alive
        default_headers = self._server_state.default_headers
        self.write(encode_response(status, headers, body, default_headers=default_headers, close=close))
        self.on_responded(close=close)

    def on_responded(self, *, close: bool) -> None:
        """Go on to the next request, or close."""
        self._handler, self._has_responded = None, True
        self._server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if close or self._is_stopping or self._is_last:
            self._close()
        elif not self._is_processing and self._parser.request.is_complete:
            self._begin_next()
            if self._parser.num_buffered or not self._reads:
                self.loop.call_soon(self._continue)  # the queue may have room by then

    def hand_over(self, body: Sequence[bytes], first: FirstResult | None = None) -> None:
        """Let the application handle the current request, whose image may have a first result."""
        self._handler = exchange = self._make_exchange()
        exchange.is_admitted, exchange.first_result = True, first
        exchange.receive(body)

    def restart_body_timeout(self) -> None:
        """Count the time for the body from now on."""
        self._body_began = self._body_progress = self.loop.time()
        self._received = 0

    def pause_reading(self) -> None:
        """Stop receiving the body."""
        self._takes_body = False
        self._update_reading()

    def resume_reading(self) -> None:
        """Continue to receive the body."""
        self._takes_body = True
        self._update_reading()

    # Called by Timeouts.

    def check(self, now: float) -> None:
        """Act on the timeouts of the client, and let the handler check its deadline."""
        if self._is_stalled(now):
            self.transport.abort()
            return
        if self._linger_until is not None:
            if now >= self._linger_until and not self._unread:
                self.transport.close()
            return
        request, handler = self._parser.request, self._handler
        if not request.headers_complete:
            if not self._parser.num_buffered:
                if now - self._idle_since >= self._keep_alive_s:
                    self.transport.close()
            elif now - self._idle_since >= self._keep_alive_s + self._body_timeout_s:
                self._fail(RequestTimeout("the header section did not arrive in time; send all of it at once"))
        elif not request.is_complete:
            if self._body_is_slow(now):
                self._fail(
                    RequestTimeout(
                        f"the body did not arrive in time: nothing for {self._body_timeout_s:g} s, or less than "
                        f"{MIN_BYTES_PER_S} bytes per second; send a smaller body or use a faster connection"
                    )
                )
        elif isinstance(handler, FastRequest):
            handler.check()

    def _is_stalled(self, now: float) -> bool:
        """Return whether the client has read nothing of its responses for the keep-alive time."""
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread or not unread:
            self._unread, self._unread_since = unread, now
        return now - self._unread_since > self._keep_alive_s

    def _body_is_slow(self, now: float) -> bool:
        is_invited = not isinstance(self._handler, Exchange) or not self._handler.must_close
        if not self._reads or not is_invited:
            return False
        required = MIN_BYTES_PER_S * (now - self._body_began - self._body_timeout_s)
        return now - self._body_progress > self._body_timeout_s or self._received < required

    def _process(self, data: bytes) -> None:
        """Parse bytes, and handle requests until one has no response yet."""
        parser = self._parser
        self._is_processing = True
        try:
            while True:
                request = parser.request
                had_headers, was_complete = request.headers_complete, request.is_complete
                parts = parser.feed(data)
                if not request.headers_complete:
                    break
                if not had_headers:
                    self._begin()
                for part in parts:
                    self._received += len(part)
                if self._handler is not None and not was_complete:
                    self._handler.receive(parts)
                if self._linger_until is not None or not (request.is_complete and self._has_responded):
                    break
                self._begin_next()
                if not parser.num_buffered or not self._writes:
                    break
                data = b""
        except Problem as problem:  # the bytes are no valid request
            self._fail(problem)
        finally:
            self._is_processing = False
        if parser.num_buffered > READ_AHEAD_BYTES:
            self._update_reading()

    def _begin(self) -> None:
        """Choose who responds to the request whose headers are parsed."""
        self.restart_body_timeout()
        request = self._parser.request
        match = self.fast_path.match(request)
        if match is None:
            self._handler = self._make_exchange()
            return
        is_queued_now = match.options is not None and request.is_complete
        refusal = match.model.batcher.expect(self.loop, reserve=not is_queued_now)
        if refusal is not None:
            self._refuse(match.model, refusal)
        elif match.options is not None:
            self._handler = FastRequest(match, request, self, self.fast_path.worker)
        else:
            self._handler = self._make_exchange()

    def _begin_next(self) -> None:
        """Expect the next request."""
        self._parser.next()
        self._has_responded, self._takes_body = False, True
        self._idle_since = self.loop.time()

    def _continue(self) -> None:
        """Parse what is buffered, and read again."""
        if self._linger_until is not None or not self._writes or self.transport.is_closing():
            return
        if self._handler is None and self._parser.num_buffered:
            self._process(b"")
            if self._sent_eof and self._handler is None and not self._has_responded:
                self._close()  # the rest is no complete request
                return
        self._update_reading()

    def _update_reading(self) -> None:
        """Receive, unless unread responses, unread parts of the body or unparsed requests would use more memory."""
        is_open = self._writes and self._takes_body and self._parser.num_buffered <= READ_AHEAD_BYTES
        reads = is_open or self._linger_until is not None
        if reads == self._reads or self.transport.is_closing():
            return
        self._reads = reads
        if reads:
            self.restart_body_timeout()  # silence until now was not the client's
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _make_exchange(self) -> Exchange:
        check_target(self._parser.request.target)
        return Exchange(
            self._parser.request,
            self,
            config=self._config,
            server_state=self._server_state,
            app_state=self._app_state,
        )

    def _read_request_id(self) -> bytes:
        return parse_headers({"headers": self._parser.request.headers}).request_id

    def _refuse(self, model: ServedModel, detail: str) -> None:
        """Refuse a request before its body is read.

        After Expect: 100-continue the client may never send the body, so the connection closes.
        """
        request = self._parser.request
        close = request.expects_continue or not request.keep_alive or self._is_stopping
        request_id = self._read_request_id()
        default_headers = self._server_state.default_headers
        message = encode_refusal(Overloaded, detail, request_id, default_headers=default_headers, close=close)
        model.metrics.requests.count(Overloaded.status)
        if self.fast_path.worker.settings.access_log:
            path = request.target.partition(b"?")[0]
            log_request("POST", path, request_id=request_id, status=Overloaded.status, seconds=0.0)
        self.refusals.write_soon(self.loop, self.transport, message)
        self.on_responded(close=close)

    def _fail(self, problem: Problem) -> None:
        """Respond to invalid bytes or to a timeout, unless a response has begun, and close."""
        handler, request = self._handler, self._parser.request
        self._has_failed = True
        if self._has_responded:
            self._close()
            return
        if isinstance(handler, Exchange) and handler.has_begun:
            self.transport.abort()
            return
        if handler is not None:
            handler.abandon(timed_out=isinstance(problem, RequestTimeout))
        path = request.target.partition(b"?")[0].decode("latin-1")
        headers, body = encode_problem(problem, path)
        request_id = self._read_request_id()
        self.respond(problem.status, [*headers, (b"x-request-id", request_id)], body, close=True)

    def _close(self) -> None:
        """Close the connection, or only its sending side if bytes may arrive that would reset it."""
        if self._linger_until is not None or self.transport.is_closing():
            return
        self.refusals.flush()
        request = self._parser.request
        expects_more = (
            self._has_failed or self._parser.num_buffered or (request.headers_complete and not request.is_complete)
        )
        if self._sent_eof or not expects_more:
            self.transport.close()
            return
        self._linger_until = self.loop.time() + self.linger_s
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._update_reading()
