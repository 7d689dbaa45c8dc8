"""Client of a remote model, against a real HTTP server."""

import json
from contextlib import closing
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from service.cli.remote_model import PATIENCE, RemoteModel, ServerError

CARD = {"name": "mnist", "version": "2", "class_names": ["0", "1"]}


class Handler(BaseHTTPRequestHandler):
    """Handler that gets its responses from the test."""

    def do_GET(self):
        self.reply(*self.server.respond_to_get())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        message = EmailMessage()
        message["content-type"] = self.headers["content-type"]
        boundary = message.get_boundary().encode()
        self.reply(*self.server.respond_to_post(body.count(b"--" + boundary) - 1))

    def reply(self, status, body, headers=()):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("content-length", str(len(content))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.respond_to_get = lambda: (200, CARD)
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def classify(server, count, *, scheme="http://", **options):
    with closing(RemoteModel(f"{scheme}127.0.0.1:{server.server_port}", "mnist", **options)) as model:
        return model.classify([b"image"] * count)


def test_http_is_assumed_when_the_url_has_no_scheme(server):
    server.respond_to_post = lambda count: (200, {"predictions": [{"label": "1"}] * count})
    assert classify(server, 1, scheme="") == [{"label": "1"}]


@pytest.mark.parametrize("url", ["ftp://localhost:3000", "http://localhost:abc", "localhost:abc", "http://"])
def test_wrong_url_is_an_error(url):
    with pytest.raises(ServerError, match=rf"^{url}: .*expected an address such as http://localhost:3000$"):
        RemoteModel(url, "mnist")


@pytest.mark.parametrize("status", [408, 413, 504])
def test_batch_is_split_when_it_is_too_large(server, status):
    sizes = []

    def respond(count):
        sizes.append(count)
        return (status, {"detail": "too much"}) if count > 2 else (200, {"predictions": [{"label": "1"}] * count})

    server.respond_to_post = respond
    assert classify(server, 5) == [{"label": "1"}] * 5
    assert sizes == [5, 2, 3, 1, 2]


@pytest.mark.parametrize(
    ("body", "detail"),
    [({"detail": "the body is too long"}, "the body is too long"), (b"<html>", "too large for the server")],
)
def test_single_image_that_is_too_large_gets_a_problem(server, body, detail):
    server.respond_to_post = lambda _count: (413, body)  # a proxy responds with HTML
    assert classify(server, 2) == [{"detail": detail}] * 2


def test_single_image_that_times_out_is_an_error(server):
    server.respond_to_post = lambda _count: (504, {"detail": "not answered within 10 s"})
    with pytest.raises(ServerError, match="504: not answered within 10 s"):
        classify(server, 2)


@pytest.mark.parametrize(
    ("header", "expected"), [("3", 3.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0), ("-1", 1.0), ("nan", 1.0)]
)
def test_overloaded_server_is_retried_after_its_retry_after(server, header, expected):
    waits = []
    responses = iter(
        [(503, {"detail": "overloaded"}, [("retry-after", header)]), (200, {"predictions": [{"label": "1"}]})]
    )
    server.respond_to_post = lambda _count: next(responses)
    assert classify(server, 1, sleep=waits.append) == [{"label": "1"}]
    assert waits == [expected]


def test_retries_end_without_a_wait_after_the_last_attempt(server):
    waits = []
    server.respond_to_post = lambda _count: (503, {"detail": "overloaded"})
    with pytest.raises(ServerError, match="503: overloaded"):
        classify(server, 1, sleep=waits.append)
    assert len(waits) == PATIENCE - 1
    assert max(waits) <= 10


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"predictions": None},
        {"predictions": []},
        {"predictions": ["x"]},
        {"predictions": [{}]},
        [],
        b"<html>",
    ],
)
def test_response_of_another_service_is_an_error(server, body):
    server.respond_to_post = lambda _count: (200, body)
    with pytest.raises(ServerError, match="is not a classifier"):
        classify(server, 1)


@pytest.mark.parametrize("body", [{"name": "mnist"}, [], b"<html>"])
def test_model_card_of_another_service_is_an_error(server, body):
    server.respond_to_get = lambda: (200, body)
    with pytest.raises(ServerError, match="is not a classifier"):
        classify(server, 1)
