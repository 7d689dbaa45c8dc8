"""The event loop of a worker, which accepts several connections at once."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

import uvloop

from service.http.connection import Connection
from service.http.fast_path import FastPath
from service.http.timeouts import Timeouts
from service.http.uvicorn_adapter import register
from service.inference.worker import Worker

logger = logging.getLogger("classifier")

ACCEPTED_AT_ONCE = 32  # connections per iteration of a busy event loop
BUSY_S = 0.001  # an iteration that takes longer

_Factory = Callable[[], asyncio.BaseProtocol]


class EventLoop(uvloop.Loop):
    """uvloop's event loop that accepts several connections per iteration while it is busy.

    libuv accepts one. An iteration with a thousand responses takes 10 to 20 ms, so new connections waited for seconds.
    An idle loop accepts one, so that the connections of a new client are shared among the workers.
    """

    async def create_server(  # type: ignore[override]  # as uvicorn calls it
        self, protocol_factory: _Factory, *, sock: socket.socket, ssl: SSLContext | None = None, backlog: int = 2048
    ) -> asyncio.AbstractServer:
        """Serve on a bound socket."""
        acceptor = _Acceptor(self, protocol_factory, sock, ssl)
        return await super().create_server(acceptor.make_protocol, sock=sock, ssl=ssl, backlog=backlog)


def choose_loop(use_subprocess: bool = False) -> type[asyncio.AbstractEventLoop]:  # noqa: ARG001 - as uvicorn calls it
    """Return the event loop class."""
    return EventLoop


def configure_uvicorn(worker: Worker) -> None:
    """Register the connection class and the event loop before uvicorn starts."""
    settings = worker.settings
    Connection.fast_path = FastPath(worker)
    Connection.timeouts = Timeouts(min(settings.body_timeout_ms, settings.deadline_ms) / 1000)
    register(
        protocol=f"{Connection.__module__}:{Connection.__name__}",
        loop_factory=f"{__name__}:{choose_loop.__name__}",
    )


class _Acceptor:
    """Accepts waiting connections after the event loop has accepted one."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, factory: _Factory, listener: socket.socket, ssl: SSLContext | None
    ) -> None:
        self._loop, self._factory, self._listener, self._ssl = loop, factory, listener, ssl
        self._tasks = set[asyncio.Task[Any]]()

    def make_protocol(self) -> asyncio.BaseProtocol:
        """Return a protocol for the accepted connection, and schedule the next ones."""
        self._loop.call_soon(self._accept, time.perf_counter())
        return self._factory()

    def _accept(self, scheduled: float) -> None:
        if time.perf_counter() - scheduled < BUSY_S:
            return
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # no waiting connection, or the server was closed
                return
            connection.setblocking(False)
            connecting = self._loop.connect_accepted_socket(self._factory, connection, ssl=self._ssl)
            task = self._loop.create_task(connecting)
            self._tasks.add(task)
            task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):  # for example a client without TLS
            logger.debug("connection not established: %r", error)
