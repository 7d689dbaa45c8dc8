"""Connections over real sockets: heads that are too long or too slow, and clients that are idle or do not listen."""

import asyncio

import pytest
from support.connections import MNIST, running, wait_until

from service.http import connection as connection_module
from service.http.connection import MAX_HEADER_BYTES


@pytest.mark.parametrize("name", ["one", "many"])
def test_a_head_that_grows_too_long_is_431_and_harms_nobody_else(service, digit_png, name, monkeypatch):
    monkeypatch.setattr(connection_module, "LINGER_S", 0.05)
    line = b"x: " + b"y" * 1000 + b"\r\n" if name == "many" else b"y" * 1000

    async def main():
        async with running(service) as connect:
            client, other = await connect(), await connect()
            client.send(b"POST / HTTP/1.1\r\nx: ")
            for _ in range(3 * MAX_HEADER_BYTES // len(line)):
                client.send(line)
                await asyncio.sleep(0)
            other.post(digit_png)
            return await client.answer(), await client.answer(), await other.status()

    (status, headers, body), end, other = asyncio.run(main())
    assert (status, headers["connection"], end, other) == (431, "close", None, 200)
    assert b'"code":"head_too_large"' in body


def test_trailers_are_held_to_the_same_limit(service, monkeypatch):
    monkeypatch.setattr(connection_module, "LINGER_S", 0.05)

    async def main():
        async with running(service) as connect:
            client = await connect()
            client.send(b"POST %b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" % MNIST.encode())
            for _ in range(200):
                client.send(b"x: " + b"y" * 1000 + b"\r\n")
                await asyncio.sleep(0)
            return await client.answer()

    assert asyncio.run(main()) is None  # another answer is due: the connection ends


def test_a_body_of_any_length_is_no_head(service):
    async def main():
        async with running(service) as connect:
            client = await connect()
            client.post(b"")
            client.post(b"x" * (20 * MAX_HEADER_BYTES))
            return await client.status(), await client.status()

    assert asyncio.run(main()) == (400, 415)


def test_a_head_that_comes_too_slowly_is_408(start):
    service = start(body_timeout_ms=200)

    async def main():
        async with running(service, keep_alive=0.05) as connect:
            client = await connect()
            client.send(b"POST / HTTP/1.1\r\n")
            answered = asyncio.create_task(client.answer())
            while not answered.done():
                client.send(b"x: y\r\n")  # a little now and then is not enough
                await asyncio.sleep(0.02)
            return answered.result()

    status, headers, body = asyncio.run(main())
    assert (status, headers["connection"]) == (408, "close")
    assert b'"detail":"the header section did not arrive in time; send all of it at once"' in body


@pytest.mark.parametrize("asks", [False, True])
def test_an_idle_connection_is_closed_without_a_word(service, digit_png, asks):
    async def main():
        async with running(service, keep_alive=0.05) as connect:
            client = await connect()
            if asks:
                client.post(digit_png)
                assert await client.status() == 200
            return await client.answer()

    assert asyncio.run(main()) is None


def test_a_connection_whose_request_is_worked_on_stays(full, gate, digit_png):
    async def main():
        async with running(full, keep_alive=0.02) as connect:
            client = await connect()
            client.post(digit_png)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.answer(), 0.2)
            gate.set()
            return await client.status()

    assert asyncio.run(main()) == 200


def test_what_a_connection_knows_is_laid_out_alike_in_all(service, digit_png):
    async def main():
        async with running(service) as connect:
            client = await connect()
            client.post(digit_png)
            assert await client.status() == 200
            (connection,) = connect.connections
            return len(vars(connection))

    assert asyncio.run(main()) <= 30  # past that, Python gives each instance a dictionary of its own


def test_nothing_is_upgraded(service):
    async def main():
        async with running(service) as connect:
            client = await connect()
            wanted = (
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n"
            )
            client.send(f"GET /v1/models HTTP/1.1\r\nhost: x\r\n{wanted}\r\n".encode())
            return await client.status()

    assert asyncio.run(main()) == 200


def test_a_client_that_does_not_take_its_answers_is_dropped(service):
    async def main():
        async with running(service, keep_alive=0.1) as connect:
            client = await connect()
            for _ in range(20_000):
                client.send(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
            await wait_until(lambda: any(connection.flow.write_paused for connection in connect.connections))
            await wait_until(lambda: not connect.connections)

    asyncio.run(main())


def test_requests_that_were_not_begun_go_with_their_connection(full, gate, digit_png):
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
