"""Connections over real sockets: header limits, timeouts, and idle or slow clients."""

import asyncio
import time

import pytest
from support.connections import MNIST, running, wait_until

from service.http.connection import HALF_CLOSE_S
from service.http.event_loop import EventLoop
from service.http.request_parser import MAX_HEADER_BYTES


@pytest.mark.parametrize("name", ["one", "many"])
def test_too_large_headers_are_431_and_others_are_unaffected(service, digit_png, name):
    line = b"x: " + b"y" * 1000 + b"\r\n" if name == "many" else b"y" * 1000

    async def main():
        async with running(service, linger_s=0.05) as connect:
            client, other = await connect(), await connect()
            client.send(b"POST / HTTP/1.1\r\nhost: x\r\nx: ")
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
            client.send(
                b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" % MNIST.encode()
            )
            for _ in range(200):
                client.send(b"x: " + b"y" * 1000 + b"\r\n")
                await asyncio.sleep(0)
            return await client.response()

    status, headers, _ = asyncio.run(main())
    assert (status, headers["connection"]) == (431, "close")


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
            client.send(b"POST / HTTP/1.1\r\nhost: x\r\n")
            response = asyncio.create_task(client.response())
            while not response.done():
                client.send(b"x: y\r\n")  # received bytes do not extend the limit
                await asyncio.sleep(0.02)
            return response.result()

    status, headers, body = asyncio.run(main())
    assert (status, headers["connection"]) == (408, "close")
    assert b'"detail":"the header section did not arrive in time; send all of it at once"' in body


FAST_AND_SLOW = pytest.mark.parametrize("has_fast_path", [True, False], ids=["fast path", "application"])


@FAST_AND_SLOW
def test_a_body_that_stops_is_408_and_closes(start, digit_png, has_fast_path):
    service = start(body_timeout_ms=100)

    async def main():
        async with running(service, linger_s=0.05, has_fast_path=has_fast_path) as connect:
            client = await connect()
            client.post(digit_png, whole=False)
            return await client.response(), await client.response()

    (status, headers, body), end = asyncio.run(main())
    assert (status, headers["connection"], end) == (408, "close", None)
    assert b'"code":"timeout"' in body
    assert service.worker.budget.held == service.worker.in_flight == 0
    assert 'status="408"' in service.get("/metrics").text


@FAST_AND_SLOW
def test_a_body_that_makes_progress_may_take_longer(start, digit_png, has_fast_path):
    service = start(body_timeout_ms=300, deadline_ms=500)
    padded = digit_png + bytes(4000)

    async def main():
        async with running(service, keep_alive=0.1, has_fast_path=has_fast_path) as connect:
            client = await connect()
            client.post(padded, whole=False)
            for at in range(10, len(padded), 400):
                await asyncio.sleep(0.1)
                client.send(padded[at : at + 400])
            return await client.status()

    assert asyncio.run(main()) == 200


def test_a_body_that_trickles_is_408(start, digit_png):
    service = start(body_timeout_ms=200)

    async def main():
        async with running(service) as connect:
            client = await connect()
            client.post(digit_png + bytes(4000), whole=False)
            response = asyncio.create_task(client.status())
            while not response.done():
                client.send(b"x")  # under the minimum rate
                await asyncio.sleep(0.02)
            return response.result()

    assert asyncio.run(main()) == 408


@FAST_AND_SLOW
def test_a_missed_deadline_is_504_while_the_model_hangs(start, gate, digit_png, has_fast_path):
    service = start(deadline_ms=100)
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))

    async def main():
        async with running(service, has_fast_path=has_fast_path) as connect:
            client = await connect()
            client.post(digit_png)
            status = await client.status()
            gate.set()
            client.post(digit_png)
            return status, await client.status()

    assert asyncio.run(main()) == (504, 200)
    assert service.worker.in_flight == 0


@FAST_AND_SLOW
def test_a_client_that_half_closes_gets_its_response(service, digit_png, has_fast_path):
    async def main():
        async with running(service, has_fast_path=has_fast_path) as connect:
            client = await connect()
            client.post(digit_png)
            client.end()
            return await client.response(), await client.response()

    (status, _, _), end = asyncio.run(main())
    assert (status, end) == (200, None)


async def leave_while_waiting(connect, body):
    """Send two requests, of which one runs and one waits; the client of the second leaves. Return both clients."""
    clients = [await connect() for _ in range(2)]
    batcher = connect.worker.models.find("mnist").batcher
    for number, client in enumerate(clients):
        client.post(body)
        await wait_until(lambda number=number: connect.worker.in_flight > number == batcher.queued_requests)
    await asyncio.sleep(2 * HALF_CLOSE_S)
    clients[1].end()
    return clients


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, EventLoop])
def test_a_client_that_leaves_later_is_dropped(full, gate, digit_png, loop_factory):
    async def main():
        async with running(full) as connect:
            clients = await leave_while_waiting(connect, digit_png)
            await wait_until(lambda: len(connect.connections) == 1)
            gate.set()
            await clients[0].status()
            await wait_until(lambda: not full.worker.in_flight)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
    assert 'classifier_dropped_total{model="mnist",reason="disconnect",version="2"}' in full.get("/metrics").text


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
            await wait_until(lambda: connect.connections)
            for _ in range(20_000):
                client.send(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
            await wait_until(lambda: not connect.connections)

    asyncio.run(main())


def test_pipelined_requests_are_dropped_with_the_connection(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            client, batcher = await connect(), full.worker.models.find("mnist").batcher
            for _ in range(2):
                client.post(digit_png)
            client.post(digit_png, whole=False)
            await wait_until(lambda: full.worker.in_flight == 1)
            client.reset()
            await wait_until(lambda: not connect.connections)
            gate.set()
            await wait_until(lambda: not full.worker.in_flight)
            await asyncio.sleep(0.02)
            return batcher.queued_requests, full.worker.in_flight, full.worker.budget.held

    assert asyncio.run(main()) == (0, 0, 0)


@FAST_AND_SLOW
def test_a_client_that_half_closes_gets_all_its_responses(service, digit_png, has_fast_path):
    async def main():
        async with running(service, has_fast_path=has_fast_path) as connect:
            client = await connect()
            for _ in range(3):
                client.post(digit_png)
            client.send(b"GET / HT")  # an incomplete request
            client.end()
            return [await client.status() for _ in range(4)]

    assert asyncio.run(main()) == [200, 200, 200, None]


def test_refused_parts_of_a_body_leave_the_upload_budget(start):
    service = start(max_batch_body_bytes=10)  # the budget is four times that

    async def main():
        async with running(service) as connect:
            for _ in range(3):
                client = await connect()
                client.send(f"POST {MNIST} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n".encode() + bytes(100))
                assert await client.status() == 503
                await client.close()
            await wait_until(lambda: not connect.connections)

    asyncio.run(main())
    assert (service.worker.budget.held, service.worker.in_flight) == (0, 0)


def test_a_client_that_leaves_as_its_job_is_dropped_is_counted_once(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            clients = await leave_while_waiting(connect, digit_png)
            gate.set()
            time.sleep(0.2)  # noqa: ASYNC251  # the end of the batch and of the connection are ready together
            await clients[0].status()
            await wait_until(lambda: len(connect.connections) == 1)

    asyncio.run(main())
    assert full.worker.in_flight == 0
