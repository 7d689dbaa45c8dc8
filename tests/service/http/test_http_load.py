"""The HTTP contract under load, at limits, at start and stop; metrics and logs."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
import zlib
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
from support.paths import ROOT
from support.service import MNIST, MNIST_BATCH, ZOO, encode, images, problem


def png_chunk(name, content):
    return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)


MANY_TEXTS = png_chunk(b"teXt", b"") * 10_000
INFLATED_TEXT = png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**6)))


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


def test_a_slow_body_is_408_and_closes_the_connection(start, digit_png):
    service = start(body_timeout_ms=100)

    async def stalled():
        yield digit_png[:10]
        await asyncio.Event().wait()

    response = service.post(MNIST, content=stalled())
    assert problem(response) == (408, "timeout")
    assert response.headers["connection"] == "close"
    assert service.worker.budget.held == 0


def test_the_body_timeout_ends_with_the_body(start, digit_png, gate):
    service = start(body_timeout_ms=200, deadline_ms=60_000)
    service.gate("mnist", lambda images, classify: classify(images) if not gate.wait(0.3) else None)
    assert service.post(MNIST, content=digit_png).status_code == 200


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
    service.worker.begin_loading()
    asyncio.run(service.worker.become_ready())
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


def test_an_internal_error_is_500_and_logged_with_request_id(service, digit_png, caplog):
    def fail(_images, _classify):
        raise RuntimeError("the runtime broke")

    service.gate("mnist", fail)
    response = service.post(MNIST, content=digit_png, headers={"x-request-id": "find-me"})
    assert problem(response) == (500, "internal_error")
    assert "find-me" in response.json()["detail"]
    assert "request find-me failed" in caplog.text
    assert caplog.text.count("RuntimeError: the runtime broke") == 1
    assert "the runtime broke" not in response.text
    assert service.post(ZOO, content=digit_png).status_code == 200


def test_requests_are_counted_with_bounded_labels(service, digit_png):
    def count():
        text = service.get("/metrics").text
        lines = [line for line in text.splitlines() if line.startswith("classifier_requests_total")]
        return {json.dumps(line.rsplit(" ", 1)[0]): float(line.rsplit(" ", 1)[1]) for line in lines}

    before = count()
    service.post(MNIST, content=digit_png)
    service.post(MNIST, content=b"no image")
    for invented in range(5):
        service.post(f"/v1/models/invented-{invented}/classify", content=digit_png)
        service.get(f"/invented/{invented}")
    increase = {key: value - before.get(key, 0) for key, value in count().items() if value != before.get(key)}
    assert increase == {
        json.dumps('classifier_requests_total{model="mnist",status="200",version="2"}'): 1,
        json.dumps('classifier_requests_total{model="mnist",status="415",version="2"}'): 1,
        json.dumps('classifier_requests_total{model="none",status="404",version="none"}'): 5,
    }


def samples(service, version="2"):
    """Return the value of every series of mnist's ``version``."""
    lines = [line.rsplit(" ", 1) for line in service.get("/metrics").text.splitlines() if line[0] != "#"]
    labels = ('model="mnist"', f'version="{version}"')
    return {name: float(value) for name, value in lines if all(label in name for label in labels)}


def count_increases(service, before):
    """Return the increase of each series since ``before``, without model labels."""
    increase = {name: value - before.get(name, 0) for name, value in samples(service).items()}
    return {
        name.replace('model="mnist",', "").replace('version="2"', "").replace(",}", "}").replace("{}", ""): value
        for name, value in increase.items()
        if value
    }


def test_a_request_increases_every_metric(service, digit_png):
    before = samples(service)
    service.post(MNIST_BATCH, **images(*[digit_png] * 3))
    increase = count_increases(service, before)
    assert increase['classifier_requests_total{status="200"}'] == 1
    assert increase["classifier_images_total"] == 3
    assert increase["classifier_batch_size_count"] == 1
    assert increase["classifier_batch_size_sum"] == 3
    for name in ("decode", "queue", "inference"):
        assert increase[f"classifier_{name}_seconds_count"] == 1
        assert increase[f"classifier_{name}_seconds_sum"] > 0
    assert samples(service)['classifier_device_info{device="cpu",model="mnist",version="2"}'] == 1


def test_dropped_requests_and_the_queue_are_counted(start, digit_png, gate):
    service = start(deadline_ms=200, max_batch_size=1)
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))
    before = samples(service)
    lengths = []

    async def main():
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            calls = [asyncio.create_task(client.post(MNIST, content=digit_png)) for _ in range(3)]
            while service.worker.in_flight < 3 or service.worker.models.find("mnist").batcher._waiting != 2:
                await asyncio.sleep(0)
            lengths.append(await client.get("/metrics"))
            responses = await asyncio.gather(*calls)
            gate.set()
            await client.post(MNIST, content=digit_png)
            return responses

    assert [response.status_code for response in asyncio.run(main())] == [504] * 3
    assert 'classifier_queue_length{model="mnist",version="2"} 2.0' in lengths[0].text
    assert count_increases(service, before)['classifier_dropped_total{reason="deadline"}'] == 2
    assert samples(service)['classifier_queue_length{model="mnist",version="2"}'] == 0


def test_two_threads_can_create_metrics_at_once():
    script = """
import sys, threading
from service.metrics import ModelMetrics, RequestCounter
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(2)
def make(metric): barrier.wait(); metric()
thread = threading.Thread(target=make, args=(lambda: ModelMetrics("m", "1"),))
thread.start(); make(lambda: RequestCounter().count(503)); thread.join()
"""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.stderr == ""


# Exhaustion of resources.


def test_a_batch_larger_than_the_queue_is_413_before_decoding(start, digit_png):
    response = start(max_queue=2).post(MNIST_BATCH, **images(b"no image", digit_png, digit_png))
    assert problem(response) == (413, "body_too_large")


def test_a_batch_after_its_deadline_is_not_decoded(start):
    service = start(deadline_ms=200)
    worker, model, gate = service.worker, service.worker.models.find("zoo"), threading.Event()
    prepared = []
    service.replace("zoo", prepare=lambda picture: prepared.append(picture) or model.prepare(picture))
    for _ in range(worker.num_decoders):
        worker.decoders.submit(gate.wait, 10)
    large = encode(np.zeros((400, 400, 3), np.uint8))
    response = service.post("/v1/models/zoo/classify-batch", **images(*[large] * 20))
    gate.set()
    worker.decoders.shutdown(wait=True)
    assert problem(response) == (504, "deadline_exceeded")
    assert not prepared


@pytest.mark.parametrize("chunk", [MANY_TEXTS, INFLATED_TEXT], ids=["large", "inflated"])
def test_expensive_files_are_opened_off_the_event_loop(start, digit_png, chunk):
    service = start(deadline_ms=200)
    gate = threading.Event()
    for _ in range(service.worker.num_decoders):
        service.worker.decoders.submit(gate.wait, 10)
    at = digit_png.index(b"IDAT") - 4
    long_header = digit_png[:at] + chunk + digit_png[at:]
    responses = service.ask(("POST", MNIST, {"content": long_header}), ("POST", MNIST, {"content": digit_png}))
    gate.set()
    assert [response.status_code for response in responses] == [504, 200]


# Logs.


def test_a_path_cannot_forge_a_log_line(start, digit_png, caplog):
    service = start(access_log=True)
    with caplog.at_level(logging.INFO, logger="classifier.access"):
        service.post("/v1/models/x%0aforged/classify", content=digit_png)
        service.get("/v1/models")
    first, second = [record.getMessage() for record in caplog.records if record.name == "classifier.access"]
    assert first.startswith("POST /v1/models/x%0aforged/classify 400 ")
    assert second.startswith("GET /v1/models 200 ")


def test_an_internal_error_of_another_route_has_request_id(service, caplog):
    service.worker._models = "broken"
    response = service.get("/v1/models", headers={"x-request-id": "find-me"})
    assert problem(response) == (500, "internal_error")
    assert "find-me" in response.json()["detail"]
    assert "request find-me failed" in caplog.text
    service.worker._models = None
