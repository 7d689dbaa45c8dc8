"""Real socket connections to a service that runs under uvicorn in this process."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

import uvicorn

from service.http.coalesced_writes import CoalescedWrites
from service.http.connection import Connection
from service.http.fast_path import FastPath
from service.http.timeouts import Timeouts

MNIST = "/v1/models/mnist/classify"


class Client:
    """One HTTP/1 connection."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    def send(self, data):
        self._writer.write(data)

    def post(self, body, *, path=MNIST, headers="", method="POST", version="1.1", whole=True):
        """Send a request.

        If body is None, send only a header section that announces a body.
        """
        length = 100 if body is None else len(body)
        head = f"{method} {path} HTTP/{version}\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n"
        self.send(head.encode() + (body or b"")[: None if whole else 10])

    async def response(self):
        """Return status, headers and body of the next response.

        Return None if the connection has ended.
        """
        try:
            head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 60)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return None
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        return int(first.split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))

    async def read_until_idle(self):
        """Return the bytes that arrive until the server is silent or closes."""
        received = b""
        try:
            while data := await asyncio.wait_for(self._reader.read(65536), 0.2):
                received += data
        except TimeoutError:
            pass
        return received

    def end(self):
        """Send no more; responses can still be read."""
        self._writer.write_eof()

    async def status(self):
        response = await self.response()
        return response and response[0]

    def reset(self):
        """Close the connection with a reset."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    async def close(self):
        self._writer.close()
        await self._writer.wait_closed()


@asynccontextmanager
async def running(service, *, app=None, keep_alive=5.0, linger_s=1.0, has_fast_path=True):
    """Serve on a free port and yield a function that opens a connection."""

    settings = service.worker.settings

    class ServiceConnection(Connection):
        fast_path = FastPath(service.worker, is_enabled=has_fast_path)
        timeouts = Timeouts(min(keep_alive, linger_s, settings.body_timeout_ms / 1000, settings.deadline_ms / 1000))

        refusals = CoalescedWrites()

        def write(self, data):
            connect.writes.append(data)
            super().write(data)

    ServiceConnection.linger_s = linger_s
    app = app or service.app
    server = uvicorn.Server(
        uvicorn.Config(app, http=ServiceConnection, lifespan="off", log_config=None, timeout_keep_alive=keep_alive)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        clients = []

        async def connect():
            clients.append(Client(*await asyncio.open_connection(*listener.getsockname())))
            return clients[-1]

        connect.worker, connect.address = service.worker, listener.getsockname()
        connect.connections = server.server_state.connections
        connect.refusals, connect.writes = ServiceConnection.refusals, []
        try:
            yield connect
        finally:
            for client in clients:
                await client.close()
            server.should_exit = True
            await serving


async def wait_until(is_true):
    async with asyncio.timeout(60):
        while not is_true():
            await asyncio.sleep(0.001)
