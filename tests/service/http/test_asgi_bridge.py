"""An answer leaves in one write, whatever uvicorn's request does with its messages."""

import asyncio

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.http.asgi_bridge import client_left, send_at_once

START, BODY = {"type": "http.response.start"}, {"type": "http.response.body"}


class Transport:
    def __init__(self):
        self.calls = []

    def write(self, data):
        self.calls.append(bytes(data))

    def close(self):
        self.calls.append("close")


class Request:
    """Writes as uvicorn's does: the head at once, the body where there is one, then perhaps the end."""

    disconnected, fails_at = False, None

    def __init__(self, *, body=b"body", keep_alive=True):
        self.transport, self.body, self.keep_alive = Transport(), body, keep_alive

    async def send(self, message):
        if message is self.fails_at:
            raise RuntimeError("broken")
        if message is START:
            self.transport.write(b"head")
        elif self.body is not None:
            self.transport.write(self.body)
        if message is BODY and not self.keep_alive:
            self.transport.close()

    async def receive(self):
        return {}


@pytest.mark.parametrize(
    ("request_", "calls"),
    [
        (Request(), [b"headbody"]),
        (Request(body=b""), [b"head"]),
        (Request(body=None), [b"head"]),  # HEAD
        (Request(keep_alive=False), [b"headbody", "close"]),
    ],
)
def test_head_and_body_are_one_write_before_any_close(request_, calls):
    transport = request_.transport
    asyncio.run(send_at_once(request_.send, START, BODY))
    assert transport.calls == calls
    assert request_.transport is transport


def test_what_was_written_before_an_error_is_sent():
    request = Request(body=None)
    request.fails_at = BODY
    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(send_at_once(request.send, START, BODY))
    assert request.transport.calls == [b"head"]


def test_another_servers_messages_go_one_by_one():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(send_at_once(send, START, BODY))
    assert sent == [START, BODY]


def test_the_clients_leaving_is_read_off_the_request():
    request = Request()
    left = client_left(request.receive)
    assert left() is False
    request.disconnected = True
    assert left() is True
    assert client_left(lambda: None)() is False


class Wire(Transport):
    """As much of an asyncio transport as uvicorn's protocols ask for."""

    def get_extra_info(self, _name):
        return None

    def is_closing(self):
        return "close" in self.calls


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_uvicorns_own_request_answers_in_one_write(http, connection):
    wire, left = Wire(), []

    async def app(_scope, receive, send):
        left.append(client_left(receive)())
        head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
        await send_at_once(send, head, {"type": "http.response.body", "body": b"body"})

    async def main():
        config = Config(app, http=http, lifespan="off", log_config=None)
        config.load()
        protocol = config.http_protocol_class(config=config, server_state=ServerState(), app_state={})
        protocol.connection_made(wire)
        protocol.data_received(f"POST / HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\n\r\n".encode())
        await asyncio.gather(*protocol.tasks)

    asyncio.run(main())
    assert left == [False]
    (answer, *rest) = wire.calls
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\nbody")
    assert rest == (["close"] if connection == "close" else [])
