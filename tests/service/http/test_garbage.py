"""Absence of reference cycles after requests, because the garbage collector runs rarely."""

import asyncio
import gc

import numpy as np
import pytest
from support.batches import submit
from support.service import encode

from benchmarks.generators import form

CLASSIFY = "/v1/models/zoo/classify"
NOISE = np.random.default_rng(0).integers(256, size=(400, 300, 3), dtype=np.uint8)
PHOTO = encode(NOISE, "JPEG")  # large enough to be decoded on a thread
SMALL = encode(NOISE[:60, :60], "JPEG")
PIXELS = np.zeros((16, 24, 3), np.uint8)  # prepared for the model
BATCH = form("images", [SMALL, SMALL[:500], b"not an image", PHOTO, PHOTO[:9000], NOISE.tobytes()])


async def call(service, path, body, content_type):
    """Return the status of a call without an HTTP client, which would create cycles."""
    statuses = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        statuses.extend([message["status"]] if "status" in message else [])

    headers = [(b"content-type", content_type.encode())]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": b"", "query_string": b"", "headers": headers}
    await service.app(scope, receive, send)
    return statuses[0]


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status"),
    [
        pytest.param(CLASSIFY, SMALL, "image/jpeg", 200, id="a small image"),
        pytest.param(CLASSIFY, PHOTO, "image/jpeg", 200, id="a large image"),
        pytest.param(CLASSIFY, SMALL[:500], "image/jpeg", 422, id="half of a small image"),
        pytest.param(CLASSIFY, PHOTO[:9000], "image/jpeg", 422, id="half of a large image"),
        pytest.param(CLASSIFY, NOISE.tobytes(), "image/jpeg", 415, id="not an image"),
        pytest.param(CLASSIFY, BATCH.content, BATCH.content_type, 400, id="too many images"),
        pytest.param(
            f"{CLASSIFY}-batch", BATCH.content, BATCH.content_type, 200, id="a batch with valid and invalid images"
        ),
        pytest.param("/v2/models/zoo/infer", b"{" * 90_000, "application/json", 400, id="not JSON"),
    ],
)
def test_a_request_leaves_no_cycle(service, path, body, content_type, status):
    assert find_garbage(service, path, body, content_type, status) == []


@pytest.mark.parametrize("path", [CLASSIFY, f"{CLASSIFY}-batch", "/v2/models/zoo/infer"])
def test_a_refused_request_leaves_no_cycle(start, gate, path):
    service = start(max_queue=1)
    service.gate("zoo", lambda images, classify: gate.wait(60) and classify(images))

    async def main():
        batcher = service.worker.models.find("zoo").batcher
        jobs = []
        for _ in range(2):  # one runs, one waits
            jobs.append(submit(batcher, [PIXELS]))
            await asyncio.sleep(0)
        garbage = await collect_garbage(service, path, PHOTO, "image/jpeg", 503)
        gate.set()
        await asyncio.gather(*(job.done for job in jobs))
        return garbage

    assert asyncio.run(main()) == []


def test_a_request_refused_after_decoding_leaves_no_cycle(start):
    service = start(max_queue=1)
    model = service.worker.models.find("zoo")

    def prepare(picture):
        # another request arrives during decoding
        model.batcher.submit([PIXELS], on_done=lambda _job: None, client_left=lambda: False)
        return model.prepare(picture)

    service.replace("zoo", prepare=prepare)
    assert find_garbage(service, CLASSIFY, SMALL, "image/jpeg", 503) == []


def find_garbage(service, path, body, content_type, status):
    return asyncio.run(collect_garbage(service, path, body, content_type, status))


async def collect_garbage(service, path, body, content_type, status):
    """Return the types of the objects of a request that only the garbage collector frees."""

    async def call_once():
        assert await call(service, path, body, content_type) == status
        await asyncio.sleep(0)

    for _ in range(3):  # the first requests may fill caches
        await call_once()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await call_once()
        gc.collect()
        return [type(item).__name__ for item in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
