"""The loop of a served process lets newcomers in, however much else it has to do."""

import asyncio
import gc
import socket
import ssl
from contextlib import ExitStack

import uvicorn

from service.http.connection import HttpProtocol
from service.http.server import ACCEPTED_AT_ONCE, EventLoop, serve_for


class Greeter(asyncio.Protocol):
    def __init__(self, greeted):
        self._greeted = greeted

    def connection_made(self, transport):
        transport.write(b"hello")
        self._greeted.append(transport)


def test_uvicorn_takes_it_and_our_connections_by_itself_once_told(service, monkeypatch):
    for registry in (uvicorn.config.LOOP_FACTORIES, uvicorn.config.HTTP_PROTOCOLS):
        monkeypatch.setitem(registry, "auto", registry["auto"])
    serve_for(service.worker)
    config = uvicorn.Config(service.app)
    config.load()
    assert (config.get_loop_factory(), config.http_protocol_class) == (EventLoop, HttpProtocol)


def test_who_speaks_no_tls_where_it_is_asked_for_leaves_no_unseen_error():
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


def test_all_connections_that_wait_are_taken_within_a_few_turns():
    greeted, turns = [], 0

    async def main(listener, count):
        nonlocal turns
        server = await asyncio.get_running_loop().create_server(lambda: Greeter(greeted), sock=listener, backlog=200)
        while len(greeted) < count:
            await asyncio.sleep(0)
            turns += 1
            assert turns < 1000
        server.close()

    count = 4 * ACCEPTED_AT_ONCE
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=200))
        clients = [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(count)]
        with asyncio.Runner(loop_factory=EventLoop) as runner:
            runner.run(main(listener, count))
            assert [client.recv(5) for client in clients] == [b"hello"] * count
            for transport in greeted:
                transport.abort()
    assert turns < count / 4
