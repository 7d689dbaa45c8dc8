"""Random and mutated bytes on connections: no exception, no 5xx, no hang, and valid HTTP back.

`pytest tests/system/test_fuzzing.py --fuzz-seconds 600` runs longer than the default of a few seconds.
"""

import asyncio
import random
import re
import time
from contextlib import suppress

from support.connections import MNIST, running

from benchmarks.generators import form
from service.http.event_loop import EventLoop

CONNECTIONS = 20  # at once
RESPONSE = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
LENGTH = re.compile(rb"(?:^|\r\n)content-length: (\d+)\r\n")
METHODS = [b"POST", b"GET", b"HEAD", b"OPTIONS", b"PUT", b"get", b""]
TARGETS = [
    MNIST.encode(),
    MNIST.encode() + b"?top=3",
    MNIST.encode() + b"-batch",
    b"/v1/models/none/classify",
    b"/v2/models/mnist/infer",
    b"/v1/models",
    b"/",
    b"/%00",
    b"*",
    b"//x/",
]
HEADERS = [
    b"host: x\r\n",
    b"Host: x\r\n",
    b"connection: close\r\n",
    b"connection: upgrade\r\nupgrade: h2c\r\n",
    b"expect: 100-continue\r\n",
    b"transfer-encoding: chunked\r\n",
    b"content-encoding: gzip\r\n",
    b"x-request-id: mine\r\n",
    b"content-length: 3\r\n",
    b"inference-header-content-length: 2\r\n",
    b"x: " + b"y" * 70_000 + b"\r\n",
]


def make_stream(rng, digit_png):
    """Return one to three requests, mostly valid before a mutation."""
    upload = form("image", [digit_png])
    stream = b""
    for _ in range(rng.randint(1, 3)):
        body = rng.choice([digit_png, b"", b"x", rng.randbytes(rng.randint(0, 500)), b"{}", upload.content])
        headers = [b"host: x\r\n"] if rng.random() < 0.9 else []
        headers += rng.sample(HEADERS, rng.choice([0, 0, 0, 1, 2]))
        if body is upload.content:
            headers.append(b"content-type: " + upload.content_type.encode() + b"\r\n")
        if rng.random() < 0.3:
            headers.append(b"transfer-encoding: chunked\r\n")
            cut = rng.randint(0, len(body))
            chunks = [chunk for chunk in (body[:cut], body[cut:]) if chunk]
            body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        elif rng.random() < 0.9:
            headers.append(b"content-length: %d\r\n" % len(body))
        line = b"%b %b HTTP/%b\r\n" % (
            rng.choice(METHODS),
            rng.choice(TARGETS),
            rng.choice([b"1.1"] * 8 + [b"1.0", b"2.0"]),
        )
        stream += line + b"".join(headers) + b"\r\n" + body
    for _ in range(rng.choice([0, 0, 1, 2, 5])):
        at = rng.randrange(len(stream))
        noise = rng.choice([b"", b"\r\n", b"\0", b":", b" ", bytes([rng.randrange(256)]), stream[at : at + 20] * 2])
        stream = stream[:at] + noise + stream[at + rng.choice([0, 1, 10]) :]
    return stream


def check_responses(received):
    """Check that the bytes are complete responses without a server error; the last may be cut off."""
    position = 0
    while position < len(received):
        head = RESPONSE.match(received, position)
        assert head, received[position : position + 200]
        status = int(head[1])
        assert status < 500 or status == 503, received[position : position + 400]
        if status == 100:
            position = head.end()
            continue
        if b"transfer-encoding: chunked" in head[2] or not (length := LENGTH.search(b"\r\n" + head[2])):
            return  # streamed, or without a body: only the first of its kind is checked
        if received[head.end() : head.end() + 5] == b"HTTP/":  # to HEAD
            position = head.end()
            continue
        position = head.end() + int(length[1])


async def send_and_receive(address, stream, rng):
    reader, writer = await asyncio.open_connection(*address)
    cuts = sorted(rng.randrange(len(stream)) for _ in range(rng.choice([0, 0, 1, 3])))
    try:
        if rng.random() < 0.1:
            writer.write(stream)
            writer.transport.abort()
            return b""
        with suppress(RuntimeError):  # the server has closed
            for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                writer.write(stream[start:end])
                await asyncio.sleep(0)
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), 30)
    except (ConnectionResetError, BrokenPipeError):
        return b""
    finally:
        writer.close()


def test_random_requests_cause_no_fault(service, digit_png, pytestconfig, caplog):
    seconds, seed = pytestconfig.getoption("fuzz_seconds"), pytestconfig.getoption("fuzz_seed")
    rng, faults, count = random.Random(seed), [], 0

    async def main():
        nonlocal count
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
        end = time.monotonic() + seconds
        async with running(service, linger_s=0.2) as connect:
            while time.monotonic() < end:
                streams = [make_stream(rng, digit_png) for _ in range(CONNECTIONS)]
                for received in await asyncio.gather(*(send_and_receive(connect.address, s, rng) for s in streams)):
                    check_responses(received)
                count += len(streams)
                client = await connect()
                client.post(digit_png)
                assert await client.status() == 200
                await client.close()
            async with asyncio.timeout(30):
                while connect.connections or service.worker.in_flight:
                    await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(main())
    assert not faults
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]
    assert service.worker.budget.held == 0
    assert count
