"""Metrics of requests, as /metrics shows them."""

import asyncio
import json
import subprocess
import sys

import httpx
from support.paths import ROOT
from support.service import MNIST, MNIST_BATCH, images


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
            while service.worker.in_flight < 3 or service.worker.models.find("mnist").batcher.queued_requests != 2:
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
