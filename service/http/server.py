"""The event loop: uvloop's, which lets new connections in beside whatever keeps it busy."""

import asyncio
import logging
import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

import uvloop
from uvicorn.config import HTTP_PROTOCOLS, LOOP_FACTORIES

from service.http.connection import HttpProtocol
from service.inference.worker import Worker

logger = logging.getLogger("classifier")

ACCEPTED_AT_ONCE = 32  # connections, in one turn of the loop

_Factory = Callable[[], asyncio.BaseProtocol]


class EventLoop(uvloop.Loop):
    """Accepts several connections a turn.

    libuv accepts one. A turn in which a thousand others are answered or refused takes 10 to 20 ms, so newcomers waited
    for seconds.
    """

    async def create_server(  # type: ignore[override]  # as uvicorn calls it
        self, protocol_factory: _Factory, *, sock: socket.socket, ssl: SSLContext | None = None, backlog: int = 2048
    ) -> asyncio.AbstractServer:
        """Serve on a socket that is bound."""
        accepting = _Accepting(self, protocol_factory, sock, ssl)
        return await super().create_server(accepting.make_protocol, sock=sock, ssl=ssl, backlog=backlog)


def choose_loop(use_subprocess: bool = False) -> type[asyncio.AbstractEventLoop]:  # noqa: ARG001 - as uvicorn calls it
    """Return what makes the event loop."""
    return EventLoop


def serve_for(worker: Worker) -> None:
    """Give this process connections of this kind, and our event loop; uvicorn must not have started yet."""
    HttpProtocol.worker = worker
    HTTP_PROTOCOLS["auto"] = f"{HttpProtocol.__module__}:{HttpProtocol.__name__}"
    LOOP_FACTORIES["auto"] = f"{__name__}:{choose_loop.__name__}"  # on Windows, BentoML asks for asyncio's


class _Accepting:
    """Takes connections off a listening socket once the loop has shown, by taking one, that there are some."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, factory: _Factory, listener: socket.socket, ssl: SSLContext | None
    ) -> None:
        self._loop, self._factory, self._listener, self._ssl = loop, factory, listener, ssl
        self._tasks = set[asyncio.Task[Any]]()

    def make_protocol(self) -> asyncio.BaseProtocol:
        """Make the protocol of the connection that the loop took, and look for others."""
        self._loop.call_soon(self._accept)
        return self._factory()

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # none waits, or the server was closed
                return
            connection.setblocking(False)
            connecting = self._loop.connect_accepted_socket(self._factory, connection, ssl=self._ssl)
            task = self._loop.create_task(connecting)
            self._tasks.add(task)
            task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):  # whoever speaks no TLS where it is asked for
            logger.debug("no connection: %r", error)
