"""What a connection refuses at a request's head, over real sockets: requests that there is no room for."""

import asyncio

import pytest
from support.connections import MNIST, running, wait_until

from service.http.connection import HttpProtocol
from service.http.responses import _held, write_soon
from service.http.server import EventLoop


async def fill(connect, body):
    """Send three requests, and return their connections once one runs and two wait."""
    clients = []
    for waiting in (0, 1, 2):
        client = await connect()
        client.post(body)
        clients.append(client)
        await wait_until(
            lambda waiting=waiting: len(HttpProtocol.worker.models.find("mnist").batcher._queue) == waiting
        )
    return clients


def refusals(service):
    metrics = service.get("/metrics").text
    name = 'classifier_requests_total{model="mnist",status="503",version="2"} '
    return float(next((line.split()[-1] for line in metrics.splitlines() if line.startswith(name)), 0))


def test_past_capacity_a_request_is_refused_at_its_head_and_its_connection_lives_on(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            admitted = await fill(connect, digit_png)
            client = await connect()
            client.post(None, headers="x-request-id: mine\r\n")  # its body is never needed
            status, headers, body = await client.answer()
            client.send(b"x" * 40)
            client.send(b"x" * 60)
            gate.set()
            answers = [await other.status() for other in admitted]
            client.post(digit_png)
            return status, headers, body, answers, await client.status()

    before = refusals(full)
    status, headers, body, answers, after = asyncio.run(main())
    assert (status, headers["x-request-id"], headers["retry-after"]) == (503, "mine", "1")
    assert headers["content-type"] == "application/problem+json"
    assert b'"detail":"queue full: 2 requests waiting (limit 2); retry after 1 s","code":"overloaded"' in body
    assert (answers, after) == ([200, 200, 200], 200)
    assert refusals(full) == before + 1


def test_requests_of_one_turn_of_the_loop_find_each_others_places_taken(full, gate, digit_png):
    begun = []

    async def app(scope, receive, send):
        begun.append(scope)
        await full.app(scope, receive, send)

    async def main():
        async with running(full, app=app) as connect:
            clients = [await connect() for _ in range(20)]
            for client in clients:
                client.post(digit_png)
            statuses = [asyncio.create_task(client.status()) for client in clients]
            await wait_until(lambda: sum(status.done() for status in statuses) >= 16)  # two run, two wait
            gate.set()
            return await asyncio.gather(*statuses)

    assert asyncio.run(main()).count(200) == len(begun)  # none that is refused costs more than its head


def test_refusals_of_one_turn_of_the_loop_are_written_together(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            await fill(connect, digit_png)
            busy = set(connect.connections)
            clients = [await connect() for _ in range(2)]
            await wait_until(lambda: len(connect.connections) == len(busy) + 2)
            for connection in connect.connections - busy:
                connection.data_received(f"POST {MNIST} HTTP/1.1\r\ncontent-length: 0\r\n\r\n".encode())
            held = len(_held)
            statuses = [await client.status() for client in clients]
            gate.set()
            return held, statuses, len(_held)

    assert asyncio.run(main()) == (2, [503, 503], 0)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, EventLoop])
def test_what_the_application_answers_comes_after_the_refusals_before_it(full, gate, digit_png, loop_factory):
    async def main():
        async with running(full) as connect:
            await fill(connect, digit_png)
            client = await connect()
            refused = f"POST {MNIST} HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
            client.send(f"{refused}GET /v1/models HTTP/1.1\r\n\r\n{refused}".encode())
            statuses = [await client.status() for _ in range(3)]
            gate.set()
            return statuses

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(main()) == [503, 200, 503]


def test_a_connection_that_fails_keeps_no_other_from_its_answer():
    class Broken(asyncio.Transport):
        def write(self, _):
            raise RuntimeError("boom")

    class Recorder(asyncio.Transport):
        written = b""

        def write(self, data):
            self.written += data

    async def main():
        loop, recorder = asyncio.get_running_loop(), Recorder()
        loop.set_exception_handler(lambda _loop, _context: None)
        for transport in (Broken(), recorder):
            transport.is_closing = lambda: False
            write_soon(loop, transport, b"answer")
            await asyncio.sleep(0)
        return recorder.written

    assert asyncio.run(main()) == b"answer"


@pytest.mark.parametrize(
    ("last", "answers"),
    [
        (f"POST {MNIST} HTTP/1.1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", [None, "close"]),
        ("garbage\r\n\r\n", [None, "close"]),
    ],
)
def test_what_ends_a_connection_comes_after_its_refusals(full, gate, digit_png, last, answers):
    async def main():
        async with running(full) as connect:
            await fill(connect, digit_png)
            client = await connect()
            client.send(f"POST {MNIST} HTTP/1.1\r\ncontent-length: 0\r\n\r\n{last}".encode())
            found = [await client.answer() for _ in answers]
            gate.set()
            return found

    found = asyncio.run(main())
    assert found[0][0] == 503
    assert [headers.get("connection") for _, headers, _ in found] == answers


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"method": "GET"}, 405),
        ({"path": "/v1/models/nobody/classify"}, 404),
        ({"path": "/nowhere"}, 404),
        ({"path": "/v2/models/mnist/infer"}, 503),
    ],
)
def test_what_a_connection_is_not_sure_of_the_application_answers(full, gate, digit_png, request_, status):
    async def main():
        async with running(full) as connect:
            await fill(connect, digit_png)
            client = await connect()
            client.post(b"", **request_)
            answer = await client.answer()
            gate.set()
            return answer

    found, _, body = asyncio.run(main())
    assert found == status
    assert status != 503 or body.startswith(b'{"error":')


def test_a_client_that_asks_first_is_told_before_it_sends_its_body(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            await fill(connect, digit_png)
            client = await connect()
            client.post(None, headers="expect: 100-continue\r\n")
            answer = await client.answer()
            gate.set()
            return answer

    status, headers, _ = asyncio.run(main())
    assert (status, headers["connection"]) == (503, "close")  # or its next request would be taken for the body


@pytest.mark.parametrize("request_", [{"headers": "connection: close\r\n"}, {"version": "1.0"}])
def test_a_refused_connection_closes_if_its_client_wants_that(full, gate, digit_png, request_):
    async def main():
        async with running(full) as connect:
            await fill(connect, digit_png)
            client = await connect()
            client.post(digit_png, whole=False, **request_)
            await wait_until(lambda: any(connection._closes_after_body for connection in connect.connections))
            client.send(digit_png[10:])
            client.post(digit_png)  # nor is another request answered
            answers = await client.answer(), await client.answer()
            gate.set()
            return answers

    (status, headers, _), end = asyncio.run(main())
    assert (status, headers["connection"], end) == (503, "close", None)


def test_a_client_that_reads_no_refusals_is_read_no_more(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            await fill(connect, digit_png)
            client = await connect()
            for _ in range(50_000):
                client.post(b"")
            await wait_until(lambda: any(connection.flow.read_paused for connection in connect.connections))
            gate.set()
            return max(connection.transport.get_write_buffer_size() for connection in connect.connections)

    assert asyncio.run(main()) < 1_000_000


def test_a_request_behind_another_on_its_connection_is_not_refused_before_that_is_answered(full, gate, digit_png):
    async def main():
        async with running(full) as connect:
            first, *_ = await fill(connect, digit_png)
            first.post(digit_png)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(first.answer(), 0.05)
            gate.set()
            return await first.status(), await first.status()

    assert asyncio.run(main()) == (200, 200)  # by then there was room


def test_a_body_may_take_longer_than_a_connection_may_be_idle_though_its_request_was_refused(full, gate, digit_png):
    async def main():
        async with running(full, keep_alive=0.1) as connect:
            admitted = await fill(connect, digit_png)
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


def test_refusals_are_logged_where_requests_are(start, gate, digit_png, caplog):
    service = start(max_queue=2, access_log=True)
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))

    async def main():
        async with running(service) as connect:
            await fill(connect, digit_png)
            client = await connect()
            client.post(digit_png)
            status = await client.status()
            gate.set()
            return status

    with caplog.at_level("INFO", "classifier.access"):
        assert asyncio.run(main()) == 503
    assert f"POST {MNIST} 503" in caplog.text
