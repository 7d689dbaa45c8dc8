"""What a connection refuses by itself, over real sockets: heads too long or too slow, and requests without room."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
import uvicorn

from service import http_protocol
from service.http_protocol import MAX_HEAD_BYTES, HttpProtocol

MNIST = "/v1/models/mnist/classify"


class Client:
    """One connection."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    def send(self, data):
        self._writer.write(data)

    def post(self, body, *, path=MNIST, headers="", method="POST", version="1.1", whole=True):
        """Send a request; of a body that is None only the head, which announces one."""
        length = 100 if body is None else len(body)
        head = f"{method} {path} HTTP/{version}\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n"
        self.send(head.encode() + (body or b"")[: None if whole else 10])

    async def answer(self):
        """Return the status, the headers and the body of the next answer; None at the connection's end."""
        try:
            head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return None
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        return int(first.split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))

    async def status(self):
        answer = await self.answer()
        return answer and answer[0]

    async def close(self):
        self._writer.close()
        await self._writer.wait_closed()


@asynccontextmanager
async def running(service, *, app=None, keep_alive=5.0):
    """Serve on a free port, and yield a function that connects."""
    HttpProtocol.worker = service.worker
    app = app or service.app
    server = uvicorn.Server(
        uvicorn.Config(app, http=HttpProtocol, lifespan="off", log_config=None, timeout_keep_alive=keep_alive)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        clients = []

        async def connect():
            connect.connections = server.server_state.connections
            clients.append(Client(*await asyncio.open_connection(*listener.getsockname())))
            return clients[-1]

        try:
            yield connect
        finally:
            for client in clients:
                await client.close()
            server.should_exit = True
            await serving


@pytest.fixture
def full(start, gate):
    """A service whose model runs nothing before ``gate`` opens and lets two requests wait."""
    service = start(max_queue=2)
    service.gate("mnist", lambda images, classify: gate.wait(10) and classify(images))
    return service


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


async def wait_until(is_true):
    async with asyncio.timeout(10):
        while not is_true():
            await asyncio.sleep(0.001)


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
    assert b'"detail":"2 requests are waiting, the most that may; try again later","code":"overloaded"' in body
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
            await asyncio.sleep(0.1)  # closed by now, the rest of the body would be answered with a reset
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


def test_refusals_are_logged_where_requests_are(start, gate, digit_png, caplog):
    service = start(max_queue=2, access_log=True)
    service.gate("mnist", lambda images, classify: gate.wait(10) and classify(images))

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


@pytest.mark.parametrize("name", ["one", "many"])
def test_a_head_that_grows_too_long_is_431_and_harms_nobody_else(service, digit_png, name, monkeypatch):
    monkeypatch.setattr(http_protocol, "LINGER_S", 0.05)
    line = b"x: " + b"y" * 1000 + b"\r\n" if name == "many" else b"y" * 1000

    async def main():
        async with running(service) as connect:
            client, other = await connect(), await connect()
            client.send(b"POST / HTTP/1.1\r\nx: ")
            for _ in range(3 * MAX_HEAD_BYTES // len(line)):
                client.send(line)
                await asyncio.sleep(0)
            other.post(digit_png)
            return await client.answer(), await client.answer(), await other.status()

    (status, headers, body), end, other = asyncio.run(main())
    assert (status, headers["connection"], end, other) == (431, "close", None, 200)
    assert b'"code":"head_too_large"' in body


def test_trailers_are_held_to_the_same_limit(service, monkeypatch):
    monkeypatch.setattr(http_protocol, "LINGER_S", 0.05)

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
            client.post(b"x" * (20 * MAX_HEAD_BYTES))
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
    assert b'"detail":"the head was not received in time; send all of it at once"' in body


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
