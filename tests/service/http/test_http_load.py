"""The HTTP contract under load, at limits, at start and stop; metrics and logs."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
from support.service import MNIST, MNIST_BATCH, ZOO, encode, images, problem


def batch_sizes(service):
    """Return (batches, images) of mnist/2 from the server's metrics."""
    lines = dict(line.rsplit(" ", 1) for line in service.get("/metrics").text.splitlines() if line[0] != "#")
    labels = '{model="mnist",version="2"}'
    return [float(lines[f"classifier_batch_size_{suffix}{labels}"]) for suffix in ("count", "sum")]


def test_concurrent_requests_share_batches(service, digit_png):
    batches, count = batch_sizes(service)
    responses = service.ask(*[("POST", MNIST, {"content": digit_png})] * 64)
    assert {response.status_code for response in responses} == {200}
    more_batches, more_count = batch_sizes(service)
    assert more_count - count == 64
    assert more_batches - batches <= 32


def test_a_bad_image_does_not_fail_its_batch_mates(service, digit_png):
    bodies = [digit_png, digit_png, digit_png, b"not an image"] * 16
    responses = service.ask(*[("POST", MNIST, {"content": body}) for body in bodies])
    assert [response.status_code for response in responses] == [200, 200, 200, 415] * 16


def test_a_full_queue_is_503_with_retry_after(start, digit_png, gate):
    service = start(max_queue=4, max_batch_size=1)

    def wait(images, classify):
        assert gate.wait(60)
        return classify(images)

    service.gate("mnist", wait)

    async def main():
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            calls = [asyncio.create_task(client.post(MNIST, content=digit_png)) for _ in range(16)]
            refused, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            gate.set()
            return [call.result() for call in refused], await asyncio.gather(*calls)

    refused, responses = asyncio.run(main())
    statuses = [response.status_code for response in responses]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 4
    for response in refused:
        assert problem(response) == (503, "overloaded")
        assert int(response.headers["retry-after"]) >= 1
    assert service.worker.budget.held == 0


@pytest.mark.parametrize(
    ("path", "invalid"),
    [
        (MNIST, {"content": b"not an image"}),
        ("/classify", {"files": {"image": b"not an image"}, "data": {"model": "mnist"}}),
    ],
)
def test_a_full_queue_refuses_before_decoding(start, digit_png, gate, path, invalid):
    service = start(max_queue=1, max_batch_size=1)
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))

    async def main():
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            calls = [asyncio.create_task(client.post(MNIST, content=digit_png)) for _ in range(2)]
            for _ in range(100):
                late = await client.post(path, **invalid)
                if late.status_code != 415:
                    break
                await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(*calls)
            return late

    assert problem(asyncio.run(main())) == (503, "overloaded")


def test_uploads_over_the_upload_budget_are_refused(service, digit_png):
    service.worker.budget.limit = len(digit_png) - 1
    assert problem(service.post(MNIST, content=digit_png)) == (503, "overloaded")
    assert service.worker.budget.held == 0


def test_a_missed_deadline_is_504(start, digit_png, gate):
    service = start(deadline_ms=100)
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))
    assert problem(service.post(MNIST, content=digit_png)) == (504, "deadline_exceeded")


def test_requests_before_loading_ends_are_503(start, digit_png):
    service = start(load=False)
    for response in service.ask(("POST", MNIST, {"content": digit_png}), ("GET", "/v1/models", {})):
        assert problem(response) == (503, "not_ready")
        assert response.headers["retry-after"]


def test_a_model_that_cannot_be_loaded_fails_the_worker(start, digit_png, tmp_path, caplog):
    service = start(load=False)
    (tmp_path / "bad" / "1").mkdir(parents=True)
    (tmp_path / "bad" / "1" / "model.onnx").write_bytes(b"no model")
    service.worker.settings = service.worker.settings.model_copy(update={"models_dir": tmp_path})
    service.load()
    assert service.worker.state == "failed"
    assert "bad/1" in caplog.text
    assert problem(service.post(MNIST, content=digit_png)) == (503, "not_ready")


@asynccontextmanager
async def request_in_flight(service, content):
    """Yield a client and its admitted request."""
    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        call = asyncio.create_task(client.post(MNIST, content=content))
        while not service.worker.in_flight:
            await asyncio.sleep(0)
        yield client, call


def test_draining_finishes_requests_and_refuses_new_ones(service, digit_png, gate, caplog):
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))

    async def main():
        async with request_in_flight(service, digit_png) as (client, early):
            drained = asyncio.create_task(service.worker.drain())
            await asyncio.sleep(0)
            late = await client.post(MNIST, content=digit_png)
            assert not drained.done()
            gate.set()
            await drained
            return (await early).status_code, late

    early, late = asyncio.run(main())
    assert early == 200
    assert "did not finish" not in caplog.text  # draining ended with the last request, before drain_ms
    assert problem(late) == (503, "draining")


def test_draining_ends_at_its_time_limit(start, digit_png, gate):
    service = start(drain_ms=50)
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))

    async def main():
        async with request_in_flight(service, digit_png) as (_client, call):
            await service.worker.drain()
            assert not call.done()
            gate.set()
            await call

    asyncio.run(main())


def test_a_batch_larger_than_the_queue_is_413_before_decoding(start, digit_png):
    response = start(max_queue=2).post(MNIST_BATCH, **images(b"no image", digit_png, digit_png))
    assert problem(response) == (413, "body_too_large")


def test_a_batch_after_its_deadline_is_not_decoded(start, gate):
    service = start(deadline_ms=200)
    prepared = []
    service.replace("zoo", prepare=lambda picture: prepared.append(picture) or gate.wait(10))
    large = encode(np.zeros((400, 400, 3), np.uint8))
    response = service.post("/v1/models/zoo/classify-batch", **images(*[large] * 20))
    assert problem(response) == (504, "deadline_exceeded")
    assert len(prepared) <= service.worker.num_decoders + 1


def test_costly_small_files_are_decoded_off_the_event_loop(start, digit_png, gate):
    service = start(deadline_ms=200)
    service.replace("zoo", prepare=lambda _picture: gate.wait(10))
    costly = encode(np.zeros((1500, 1500), np.uint8))
    responses = service.ask(("POST", ZOO, {"content": costly}), ("POST", MNIST, {"content": digit_png}))
    assert len(costly) < 64 * 1024
    assert [response.status_code for response in responses] == [504, 200]


def test_cheap_images_do_not_wait_for_costly_ones(start, gate):
    service = start()
    model = service.worker.models.find("zoo")
    service.replace("zoo", prepare=lambda picture: (picture.width < 2000 or gate.wait(10)) and model.prepare(picture))
    costly, cheap = (encode(np.zeros((side, side), np.uint8)) for side in (4000, 300))

    async def main():
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            held = [asyncio.create_task(client.post(ZOO, content=costly)) for _ in range(4)]
            await asyncio.sleep(0)
            quick = [(await client.post(ZOO, content=cheap)).status_code for _ in range(8)]
            assert not any(call.done() for call in held)
            gate.set()
            return quick, [(await call).status_code for call in held]

    assert asyncio.run(main()) == ([200] * 8, [200] * 4)


def test_costly_images_that_would_wait_too_long_are_503(start, gate):
    service = start(deadline_ms=400)  # a quarter of it may be waited
    service.replace("zoo", prepare=lambda _picture: gate.wait(10))
    costly = encode(np.zeros((4000, 4000), np.uint8))
    responses = service.ask(*[("POST", ZOO, {"content": costly})] * (service.worker.num_decoders + 3))
    assert {response.status_code for response in responses} == {503, 504}
    refused = next(response for response in responses if response.status_code == 503)
    assert problem(refused) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert "until the image is decoded (limit 100 ms); retry after 1 s" in refused.json()["detail"]
