"""The event loop that accepts several connections per iteration."""

import asyncio
import gc
import socket
import ssl
import time
from contextlib import ExitStack

import pytest
import uvicorn

from service.http.connection import Connection
from service.http.event_loop import ACCEPTED_AT_ONCE, BUSY_S, EventLoop, configure_uvicorn


class Greeter(asyncio.Protocol):
    def __init__(self, connected):
        self._connected = connected

    def connection_made(self, transport):
        transport.write(b"hello")
        self._connected.append(transport)


def test_configure_uvicorn_registers_the_loop_and_the_connection(service, monkeypatch):
    for registry in (uvicorn.config.LOOP_FACTORIES, uvicorn.config.HTTP_PROTOCOLS):
        monkeypatch.setitem(registry, "auto", registry["auto"])
    for name in ("fast_path", "timeouts"):
        monkeypatch.setattr(Connection, name, None, raising=False)
    configure_uvicorn(service.worker)
    config = uvicorn.Config(service.app)
    config.load()
    assert (config.get_loop_factory(), config.http_protocol_class) == (EventLoop, Connection)


def test_clients_without_tls_leave_no_unretrieved_error():
    errors = []

    async def main(listener):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: errors.append(context["message"]))
        server = await loop.create_server(asyncio.Protocol, sock=listener, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        for client in clients:
            client.setblocking(False)
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.gather(*(loop.sock_recv(client, 1) for client in clients), return_exceptions=True)
        server.close()

    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        clients = [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(6)]
        with asyncio.Runner(loop_factory=EventLoop) as runner:
            runner.run(main(listener))
            gc.collect()
    assert not [error for error in errors if "never retrieved" in error]


@pytest.mark.parametrize("is_busy", [True, False])
def test_busy_loop_accepts_waiting_connections_in_few_iterations(is_busy):
    connected, iterations = [], 0

    async def main(listener, count):
        nonlocal iterations
        server = await asyncio.get_running_loop().create_server(lambda: Greeter(connected), sock=listener, backlog=200)
        while len(connected) < count:
            await asyncio.sleep(0)
            if is_busy:
                time.sleep(2 * BUSY_S)  # noqa: ASYNC251  # other work of the loop
            iterations += 1
            assert iterations < 10_000
        server.close()

    count = 4 * ACCEPTED_AT_ONCE
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=200))
        clients = [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(count)]
        with asyncio.Runner(loop_factory=EventLoop) as runner:
            runner.run(main(listener, count))
            assert [client.recv(5) for client in clients] == [b"hello"] * count
            for transport in connected:
                transport.abort()
    assert (iterations < count / 4) == is_busy  # an idle loop leaves connections to other workers
