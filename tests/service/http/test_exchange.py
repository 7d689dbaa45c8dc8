"""Exchanges with uvicorn's protocol; the tests fail when uvicorn calls its transport or its server state otherwise."""

import asyncio

import pytest
from support.connections import running, wait_until

from service.http.request import EXCHANGE

GET = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nhost: x\r\n"


async def read_all(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def respond(send, body=b"", *, headers=()):
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def echo(_scope, receive, send):
    await respond(send, await read_all(receive))


def exchange(service, app, *pieces):
    """Return the bytes that the server sends for the pieces of one connection, and its writes."""

    async def main():
        async with running(service, app=app) as connect:
            client = await connect()
            for piece in pieces:
                client.send(piece)
                await asyncio.sleep(0.02)
            return await client.read_until_idle(), connect.writes

    return asyncio.run(main())


def test_headers_and_body_are_one_write(service):
    received, writes = exchange(service, echo, POST + b"content-length: 4\r\n\r\nbody")
    assert received.endswith(b"\r\n\r\nbody")
    assert writes == [received]


@pytest.mark.parametrize(
    "message",
    [
        POST + b"content-length: 8\r\n\r\nthe body",
        POST + b"transfer-encoding: chunked\r\n\r\n4\r\nthe \r\n4\r\nbody\r\n0\r\nx: y\r\n\r\n",
    ],
)
def test_body_reaches_the_application(service, message):
    received, _ = exchange(service, echo, message[:60], message[60:70], message[70:])
    assert received.endswith(b"\r\n\r\nthe body")


def test_streamed_response_is_written_as_it_is_sent(service):
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b""})

    received, writes = exchange(service, app, GET + GET)
    assert received.count(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") == 2
    assert len(writes) >= 6


def test_requests_share_the_connection_in_order(service):
    async def app(scope, _receive, send):
        await asyncio.sleep(0.02 if scope["path"] == "/x" else 0)
        await respond(send, scope["path"].encode())

    received, _ = exchange(service, app, GET + GET.replace(b"/x", b"/y"))
    assert received.index(b"/x") < received.index(b"/y")
    assert received.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("header", [b"connection: close\r\n", b"Connection: Close\r\n"])
def test_connection_closes_when_the_client_wants_it(service, header):
    received, _ = exchange(service, echo, POST + header + b"content-length: 1\r\n\r\nx" + GET)
    assert received.count(b"HTTP/1.1 200") == 1
    assert b"connection: close\r\n" in received


def test_failed_application_is_500_and_closes(service):
    async def app(_scope, _receive, _send):
        raise RuntimeError("boom")

    received, _ = exchange(service, app, GET + GET)
    assert received.startswith(b"HTTP/1.1 500 ")
    assert received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("target", [b"http://x:999999/", b"http://[::1/x", b"x", b"http://"])
def test_target_without_a_path_is_400_and_closes(service, target):
    async def main():
        async with running(service) as connect:
            client = await connect()
            client.send(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % target + GET)
            received = await client.read_until_idle()
            await wait_until(lambda: not connect.connections)
            return received

    received = asyncio.run(main())
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in received
    assert received.count(b"HTTP/1.1") == 1


def test_body_is_requested_with_100_continue(service):
    expect = POST + b"expect: 100-continue\r\ncontent-length: 4\r\n\r\n"
    received, _ = exchange(service, echo, expect, b"body")
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_early_response_reaches_a_client_that_still_sends(service):
    async def app(_scope, _receive, send):
        await respond(send, b"early", headers=[(b"connection", b"close")])

    body = b"x" * 3_000_000  # more than the operating system buffers
    received, _ = exchange(service, app, POST + b"content-length: %d\r\n\r\n" % len(body), body)
    assert received.endswith(b"early")


def test_rest_of_the_body_is_discarded_after_an_early_response(service):
    async def app(_scope, _receive, send):
        await respond(send, b"early")

    received, _ = exchange(service, app, POST + b"content-length: 9\r\n\r\n", b"GET / HTTP"[:9], GET)
    assert received.count(b"HTTP/1.1 200") == 2


def test_application_learns_that_the_client_left(service):
    left = []

    async def app(scope, receive, _send):
        await read_all(receive)
        exchange = scope["state"][EXCHANGE]
        await wait_until(lambda: exchange.is_abandoned)
        left.append((await receive())["type"])

    async def main():
        async with running(service, app=app) as connect:
            client = await connect()
            client.send(GET)
            await asyncio.sleep(0.15)
            await client.close()
            await wait_until(lambda: left)

    asyncio.run(main())
    assert left == ["http.disconnect"]


def test_an_unread_body_stays_paused_when_the_client_reads_the_response(service):
    part, body = b"x" * 1_000_000, b"y" * 3_000_000  # more than the operating system buffers

    def is_reading(connect):
        return all(connection.transport.is_reading() for connection in connect.connections)

    async def main():
        reads = asyncio.Event()

        async def app(_scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(8):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await reads.wait()
            await send({"type": "http.response.body", "body": b"%d" % len(await read_all(receive))})

        async with running(service, app=app) as connect:
            client = await connect()
            client.send(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
            try:
                await wait_until(lambda: connect.connections and not is_reading(connect))
                await client.read_until_idle()
                was_reading = is_reading(connect)
            finally:
                reads.set()
            return was_reading, await client.read_until_idle()

    was_reading, rest = asyncio.run(main())
    assert not was_reading
    assert b"3000000" in rest
