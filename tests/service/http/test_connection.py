"""Connections over real sockets: header limits, timeouts, and idle or slow clients."""

import asyncio

import pytest
from support.connections import MNIST, running, wait_until

from service.http.connection import MAX_HEADER_BYTES


@pytest.mark.parametrize("name", ["one", "many"])
def test_too_large_headers_are_431_and_others_are_unaffected(service, digit_png, name):
    line = b"x: " + b"y" * 1000 + b"\r\n" if name == "many" else b"y" * 1000

    async def main():
        async with running(service, linger_s=0.05) as connect:
            client, other = await connect(), await connect()
            client.send(b"POST / HTTP/1.1\r\nx: ")
            for _ in range(3 * MAX_HEADER_BYTES // len(line)):
                client.send(line)
                await asyncio.sleep(0)
            other.post(digit_png)
            return await client.response(), await client.response(), await other.status()

    (status, headers, body), end, other = asyncio.run(main())
    assert (status, headers["connection"], end, other) == (431, "close", None, 200)
    assert b'"code":"head_too_large"' in body


def test_trailers_have_the_same_limit(service):

    async def main():
        async with running(service, linger_s=0.05) as connect:
            client = await connect()
            client.send(b"POST %b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" % MNIST.encode())
            for _ in range(200):
                client.send(b"x: " + b"y" * 1000 + b"\r\n")
                await asyncio.sleep(0)
            return await client.response()

    assert asyncio.run(main()) is None  # another response is pending, so the connection only closes


def test_a_body_does_not_count_as_headers(service):
    async def main():
        async with running(service) as connect:
            client = await connect()
            client.post(b"")
            client.post(b"x" * (20 * MAX_HEADER_BYTES))
            return await client.status(), await client.status()

    assert asyncio.run(main()) == (400, 415)


def test_slow_headers_are_408(start):
    service = start(body_timeout_ms=200)

    async def main():
        async with running(service, keep_alive=0.05) as connect:
            client = await connect()
            client.send(b"POST / HTTP/1.1\r\n")
            response = asyncio.create_task(client.response())
            while not response.done():
                client.send(b"x: y\r\n")  # received bytes do not extend the limit
                await asyncio.sleep(0.02)
            return response.result()

    status, headers, body = asyncio.run(main())
    assert (status, headers["connection"]) == (408, "close")
    assert b'"detail":"the header section did not arrive in time; send all of it at once"' in body


@pytest.mark.parametrize("sends_request", [False, True])
def test_an_idle_connection_is_closed_without_a_response(service, digit_png, sends_request):
    async def main():
        async with running(service, keep_alive=0.05) as connect:
            client = await connect()
            if sends_request:
                client.post(digit_png)
                assert await client.status() == 200
            return await client.response()

    assert asyncio.run(main()) is None


def test_a_connection_stays_open_during_a_request(full, gate, digit_png):
    async def main():
        async with running(full, keep_alive=0.02) as connect:
            client = await connect()
            client.post(digit_png)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.response(), 0.2)
            gate.set()
            return await client.status()

    assert asyncio.run(main()) == 200


def test_a_websocket_upgrade_is_ignored(service):
    async def main():
        async with running(service) as connect:
            client = await connect()
            upgrade = (
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n"
            )
            client.send(f"GET /v1/models HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n".encode())
            return await client.status()

    assert asyncio.run(main()) == 200


def test_a_client_that_does_not_read_is_disconnected(service):
    async def main():
        async with running(service, keep_alive=0.1) as connect:
            client = await connect()
            for _ in range(20_000):
                client.send(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
            await wait_until(lambda: any(connection.flow.write_paused for connection in connect.connections))
            await wait_until(lambda: not connect.connections)

    asyncio.run(main())


def test_pipelined_requests_are_dropped_with_the_connection(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            client = await connect()
            client.post(digit_png)
            client.post(digit_png)
            await wait_until(lambda: any(connection.pipeline for connection in connect.connections))
            (connection,) = connect.connections
            await client.close()
            await wait_until(lambda: not connect.connections)
            gate.set()
            return len(connection.pipeline)

    assert asyncio.run(main()) == 0
