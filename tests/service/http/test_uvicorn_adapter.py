"""Single writes of a response, and detection of disconnects."""

import asyncio

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.http.uvicorn_adapter import client_left, send_at_once

START, BODY = {"type": "http.response.start"}, {"type": "http.response.body"}


class Transport:
    def __init__(self):
        self.calls = []

    def write(self, data):
        self.calls.append(bytes(data))

    def close(self):
        self.calls.append("close")


class Request:
    """Imitation of uvicorn's request, with separate writes of headers and body."""

    disconnected, fails_at = False, None

    def __init__(self, *, body=b"body", keep_alive=True):
        self.transport, self.body, self.keep_alive = Transport(), body, keep_alive

    async def send(self, message):
        if message is self.fails_at:
            raise RuntimeError("broken")
        if message is START:
            self.transport.write(b"headers")
        elif self.body is not None:
            self.transport.write(self.body)
        if message is BODY and not self.keep_alive:
            self.transport.close()

    async def receive(self):
        return {}


@pytest.mark.parametrize(
    ("request_", "calls"),
    [
        (Request(), [b"headersbody"]),
        (Request(body=b""), [b"headers"]),
        (Request(body=None), [b"headers"]),  # HEAD
        (Request(keep_alive=False), [b"headersbody", "close"]),
    ],
)
def test_headers_and_body_are_one_write_before_close(request_, calls):
    transport = request_.transport
    asyncio.run(send_at_once(request_.send, START, BODY))
    assert transport.calls == calls
    assert request_.transport is transport


def test_buffered_bytes_are_sent_when_a_later_message_fails():
    request = Request(body=None)
    request.fails_at = BODY
    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(send_at_once(request.send, START, BODY))
    assert request.transport.calls == [b"headers"]


def test_messages_are_sent_one_by_one_to_other_servers():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(send_at_once(send, START, BODY))
    assert sent == [START, BODY]


def test_client_left_follows_the_request_attribute():
    request = Request()
    left = client_left(request.receive)
    assert left() is False
    request.disconnected = True
    assert left() is True
    assert client_left(lambda: None)() is False


class UvicornTransport(Transport):
    """The transport methods that uvicorn's protocols call."""

    def get_extra_info(self, _name):
        return None

    def is_closing(self):
        return "close" in self.calls


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_uvicorn_writes_a_response_at_once(http, connection):
    transport, left = UvicornTransport(), []

    async def app(_scope, receive, send):
        left.append(client_left(receive)())
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
        await send_at_once(send, start, {"type": "http.response.body", "body": b"body"})

    async def main():
        config = Config(app, http=http, lifespan="off", log_config=None)
        config.load()
        protocol = config.http_protocol_class(config=config, server_state=ServerState(), app_state={})
        protocol.connection_made(transport)
        protocol.data_received(f"POST / HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\n\r\n".encode())
        await asyncio.gather(*protocol.tasks)

    asyncio.run(main())
    assert left == [False]
    (response, *rest) = transport.calls
    assert response.startswith(b"HTTP/1.1 200 OK")
    assert response.endswith(b"\r\n\r\nbody")
    assert rest == (["close"] if connection == "close" else [])
