"""Early refusals by the connection when a queue is full, over real sockets."""

import asyncio

import pytest
from support.connections import MNIST, running, wait_until

from service.http.event_loop import EventLoop


async def fill_queue(connect, body):
    """Send three requests, and return their connections once one runs and two wait."""
    clients, batcher = [], connect.worker.models.find("mnist").batcher
    for waiting in (0, 1, 2):
        client = await connect()
        client.post(body)
        clients.append(client)
        await wait_until(lambda waiting=waiting: batcher.queued_requests == waiting)
    return clients


def count_refusals(service):
    metrics = service.get("/metrics").text
    name = 'classifier_requests_total{model="mnist",status="503",version="2"} '
    return float(next((line.split()[-1] for line in metrics.splitlines() if line.startswith(name)), 0))


def test_a_refusal_precedes_the_body_and_keeps_the_connection(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            admitted = await fill_queue(connect, digit_png)
            client = await connect()
            client.post(None, headers="x-request-id: mine\r\n")  # the refusal does not wait for the body
            status, headers, body = await client.response()
            client.send(b"x" * 40)
            client.send(b"x" * 60)
            gate.set()
            statuses = [await other.status() for other in admitted]
            client.post(digit_png)
            return status, headers, body, statuses, await client.status()

    before = count_refusals(full)
    status, headers, body, statuses, after = asyncio.run(main())
    assert (status, headers["x-request-id"], headers["retry-after"]) == (503, "mine", "1")
    assert headers["content-type"] == "application/problem+json"
    assert b'"detail":"queue full: 2 requests waiting (limit 2); retry after 1 s","code":"overloaded"' in body
    assert (statuses, after) == ([200, 200, 200], 200)
    assert count_refusals(full) == before + 1


def test_requests_of_one_loop_iteration_count_each_other(full, gate, digit_png):
    started = []

    async def app(scope, receive, send):
        started.append(scope)
        await full.app(scope, receive, send)

    async def main():
        async with running(full, app=app, has_fast_path=False) as connect:
            clients = [await connect() for _ in range(20)]
            for client in clients:
                client.post(digit_png)
            statuses = [asyncio.create_task(client.status()) for client in clients]
            await wait_until(lambda: sum(status.done() for status in statuses) >= 16)  # two run, two wait
            gate.set()
            return await asyncio.gather(*statuses)

    assert asyncio.run(main()).count(200) == len(started)  # the application never sees a refused request


def test_refusals_of_one_loop_iteration_are_written_together(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            await fill_queue(connect, digit_png)
            busy = set(connect.connections)
            clients = [await connect() for _ in range(2)]
            await wait_until(lambda: len(connect.connections) == len(busy) + 2)
            for connection in connect.connections - busy:
                connection.data_received(f"POST {MNIST} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode())
            held = connect.refusals.num_held
            statuses = [await client.status() for client in clients]
            gate.set()
            return held, statuses, connect.refusals.num_held

    assert asyncio.run(main()) == (2, [503, 503], 0)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, EventLoop])
def test_responses_of_the_application_follow_earlier_refusals(full, gate, digit_png, loop_factory):
    async def main():
        async with running(full) as connect:
            await fill_queue(connect, digit_png)
            client = await connect()
            refused = f"POST {MNIST} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
            client.send(f"{refused}GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n{refused}".encode())
            statuses = [await client.status() for _ in range(3)]
            gate.set()
            return statuses

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(main()) == [503, 200, 503]


@pytest.mark.parametrize(
    ("last", "connection_headers"),
    [
        (f"POST {MNIST} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", [None, "close"]),
        ("garbage\r\n\r\n", [None, "close"]),
    ],
)
def test_the_last_response_follows_earlier_refusals(full, gate, digit_png, last, connection_headers):
    async def main():
        async with running(full) as connect:
            await fill_queue(connect, digit_png)
            client = await connect()
            client.send(f"POST {MNIST} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n{last}".encode())
            responses = [await client.response() for _ in connection_headers]
            gate.set()
            return responses

    responses = asyncio.run(main())
    assert responses[0][0] == 503
    assert [headers.get("connection") for _, headers, _ in responses] == connection_headers


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"method": "GET"}, 405),
        ({"path": "/v1/models/unknown/classify"}, 404),
        ({"path": "/nowhere"}, 404),
        ({"path": "/v2/models/mnist/infer"}, 503),
    ],
)
def test_the_application_handles_all_other_requests(full, gate, digit_png, request_, status):
    async def main():
        async with running(full) as connect:
            await fill_queue(connect, digit_png)
            client = await connect()
            client.post(b"", **request_)
            response = await client.response()
            gate.set()
            return response

    actual, _, body = asyncio.run(main())
    assert actual == status
    assert status != 503 or body.startswith(b'{"error":')


def test_expect_100_continue_gets_the_refusal_and_a_close(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            await fill_queue(connect, digit_png)
            client = await connect()
            client.post(None, headers="expect: 100-continue\r\n")
            response = await client.response()
            gate.set()
            return response

    status, headers, _ = asyncio.run(main())
    assert (status, headers["connection"]) == (503, "close")  # else the next request could be parsed as the body


@pytest.mark.parametrize("request_", [{"headers": "connection: close\r\n"}, {"version": "1.0"}])
def test_a_refused_connection_closes_when_requested(full, gate, digit_png, request_):
    async def main():
        async with running(full) as connect:
            await fill_queue(connect, digit_png)
            client = await connect()
            client.post(digit_png, whole=False, **request_)
            refusal = await client.response()
            client.send(digit_png[10:])
            client.post(digit_png)  # gets no response
            responses = refusal, await client.response()
            gate.set()
            return responses

    (status, headers, _), end = asyncio.run(main())
    assert (status, headers["connection"], end) == (503, "close", None)


def test_reading_pauses_when_a_client_reads_no_refusals(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            await fill_queue(connect, digit_png)
            client = await connect()
            for _ in range(50_000):
                client.post(b"")
            await wait_until(lambda: not all(connection.transport.is_reading() for connection in connect.connections))
            gate.set()
            return max(connection.transport.get_write_buffer_size() for connection in connect.connections)

    assert asyncio.run(main()) < 1_000_000


def test_a_pipelined_request_waits_for_the_previous_response(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            first, *_ = await fill_queue(connect, digit_png)
            first.post(digit_png)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(first.response(), 0.05)
            gate.set()
            return await first.status(), await first.status()

    assert asyncio.run(main()) == (200, 200)  # the queue has room by then


def test_the_body_of_a_refused_request_may_exceed_keep_alive(full, gate, digit_png):
    async def main():
        async with running(full, keep_alive=0.1) as connect:
            admitted = await fill_queue(connect, digit_png)
            client = await connect()
            client.post(None)
            for _ in range(10):
                client.send(b"x" * 10)
                await asyncio.sleep(0.05)
            gate.set()
            for other in admitted:
                await other.status()
            client.post(digit_png)
            return await client.status(), await client.status()

    assert asyncio.run(main()) == (503, 200)


def test_refusals_are_in_the_access_log(start, gate, digit_png, caplog):
    service = start(max_queue=2, access_log=True)
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))

    async def main():
        async with running(service) as connect:
            await fill_queue(connect, digit_png)
            client = await connect()
            client.post(digit_png)
            status = await client.status()
            gate.set()
            return status

    with caplog.at_level("INFO", "classifier.access"):
        assert asyncio.run(main()) == 503
    assert f"POST {MNIST} 503" in caplog.text
