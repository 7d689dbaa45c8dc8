"""Equality of the fast path and the application, over real sockets."""

import asyncio
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.connections import MNIST, running
from support.service import encode

from benchmarks.generators import form

ZOO = "/v1/models/zoo/classify"
VARIABLE = re.compile(rb"(?<=date: )[^\r]*|(?<=server-timing: )[^\r]*|(?<=x-request-id: )[0-9a-f]{16}-[0-9a-f]+")


def request(path, body, headers=b""):
    return b"POST %b HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n%b" % (path.encode(), headers, len(body), body)


async def read_response(client):
    status, headers, body = await client.response()
    return status, {name: VARIABLE.sub(b"*", f"{name}: {value}".encode()) for name, value in headers.items()}, body


def responses(service, messages, *, has_fast_path):
    """Return the responses to pipelined requests, without what varies."""

    async def main():
        async with running(service, has_fast_path=has_fast_path) as connect:
            client = await connect()
            client.send(b"".join(messages))
            return [await read_response(client) for _ in messages]

    return asyncio.run(main())


def make_bodies():
    rng = np.random.default_rng(0)
    digit = encode(rng.integers(0, 256, (28, 28), dtype=np.uint8))
    photo = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    large = encode(np.zeros((300, 300, 3), np.uint8))  # over the pixels that are decoded inline
    plain = [
        digit,
        digit[:200],
        encode(photo),
        encode(photo, "JPEG"),
        encode(photo, "JPEG")[:90],
        large,
        b"x",
        b"\0" * 99,
    ]
    forms = [form("image", [content]) for content in (digit, b"x", encode(photo, "JPEG"))]
    forms += [form("images", [digit]), form("image", [digit, digit])]
    return [(body, b"content-type: image/png\r\n") for body in plain] + [
        (made.content, b"content-type: " + made.content_type.encode() + b"\r\n") for made in forms
    ]


PATHS = [
    MNIST,
    ZOO,
    f"{MNIST}?top=3",
    f"{MNIST}?top=0",
    f"{ZOO}?pixels=true",
    "/v1/models/mnist/versions/1/classify",
    "/v1/models/mnist/versions/9/classify",
    "/v1/models/none/classify",
]
HEADERS = [b"", b"x-request-id: mine\r\n", b"X-Request-ID: not valid\r\n", b"accept: */*\r\n"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(PATHS), st.sampled_from(make_bodies()), st.sampled_from(HEADERS)),
        min_size=1,
        max_size=6,
    )
)
def test_both_paths_give_the_same_bytes(service, calls):
    messages = [request(path, body, described + headers) for path, (body, described), headers in calls]
    fast, slow = (responses(service, messages, has_fast_path=has_fast_path) for has_fast_path in (True, False))
    assert fast == slow


def test_refusals_have_the_same_bytes_on_both_paths(start, gate, digit_png):
    service = start(max_queue=1)
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))

    async def refuse(path):
        async with running(service) as connect:
            jobs = []
            batcher = service.worker.models.find("mnist").batcher
            for _ in range(2):  # one runs, one waits
                pixels = np.zeros((28, 28), np.uint8)
                jobs.append(asyncio.ensure_future(batcher.predict([pixels], client_left=lambda: False)))
                await asyncio.sleep(0.01)
            client = await connect()
            client.send(request(path, digit_png, b"x-request-id: mine\r\n"))
            response = await read_response(client)
            gate.set()
            await asyncio.gather(*jobs)
            gate.clear()
            return response

    in_connection, in_application = (asyncio.run(refuse(path)) for path in (MNIST, MNIST.replace("mnist", "%6dnist")))
    assert in_connection == in_application
    assert in_connection[0] == 503


@pytest.mark.parametrize("cut", range(0, 330, 7))
def test_a_request_may_arrive_in_two_pieces(service, digit_png, cut):
    message = request(MNIST, digit_png)

    async def main():
        async with running(service) as connect:
            client = await connect()
            client.send(message[:cut])
            await asyncio.sleep(0.001)
            client.send(message[cut:])
            return await client.status()

    assert asyncio.run(main()) == 200
