"""CPU per request against baseline and peers; workers, batches, large photos."""

import io
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from benchmarks.figures import Cost, Figure
from benchmarks.generators import Body, ClosedLoop, form, load_closed
from benchmarks.peers.onnx_model import OnnxModel
from benchmarks.servers import BASELINE, OURS, PEERS, ROOT, Served, Server, ServerError, newest_file, served
from models.hardware import available_cores

WARM_UP_S = 2
IMAGES = ROOT / "tests" / "images"
DIGIT, PHOTO = IMAGES / "mnist-7.png", IMAGES / "cifar10-ship.png"
BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Duration and repeats of a measurement."""

    seconds: int = 10  # per run
    repeats: int = 3


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run against one server."""

    load: ClosedLoop
    cpu_us: float  # per request
    memory_mib: float
    ready_s: float


def compare_servers(effort: Effort) -> tuple[list[Cost], list[Figure]]:
    """Post a digit from 16 connections to each server, in turns."""
    cases = [(BASELINE, "raw"), (OURS, "raw"), (OURS, "form"), *((peer, "form") for peer in PEERS)]
    samples: dict[tuple[str, str], list[Sample]] = {(server.name, body): [] for server, body in cases}
    for _ in range(effort.repeats):
        for server, body in cases:
            samples[server.name, body].append(sample(server, body, effort))
            print(f"{server.name}, {body}: {samples[server.name, body][-1].cpu_us:.0f} us CPU per request", flush=True)
    costs = [summarize(name, body, found) for (name, body), found in samples.items()]
    baseline, raw, ours = (samples[key] for key in ((BASELINE.name, "raw"), (OURS.name, "raw"), (OURS.name, "form")))
    values = ratios(raw, reference=baseline)
    figures = [Figure(name="CPU a request, raw body, against the bare handler", values=values, target=1.5)]
    for peer in (peer for peer in PEERS if peer.target):
        values = ratios(samples[peer.name, "form"], reference=ours)
        name = f"CPU a request, form: {peer.name}, against ours"
        figures.append(Figure(name=name, values=values, target=peer.target, at_least=True))
    return costs, figures


def sample(server: Server, body: str, effort: Effort) -> Sample:
    """Start a server, warm it up and measure it under load."""
    with served(server) as running:
        url = running.url(server.classify.format(model="mnist"))
        content = Body(content=DIGIT.read_bytes()) if body == "raw" else form(server.field, [DIGIT.read_bytes()])
        load, cpu_us = measure(running, url, content, effort.seconds)
        return Sample(load=load, cpu_us=cpu_us, memory_mib=running.memory_mib(), ready_s=running.ready_s)


def measure(running: Served, url: str, body: Body, seconds: int, *, connections: int = 16) -> tuple[ClosedLoop, float]:
    """Warm up and load a server; return the measurement and the CPU µs per request.

    Raises:
        ServerError: a request failed, or no request succeeded.
    """
    load_closed(url, body, connections=connections, seconds=WARM_UP_S)
    before = running.cpu_s()
    load = load_closed(url, body, connections=connections, seconds=seconds)
    if load.errors or not load.answers:
        raise ServerError(
            f"{running.server.name}: {load.answers} responses with status 200 and {load.errors} errors at {url}"
        )
    return load, (running.cpu_s() - before) / load.answers * 1e6


def summarize(server: str, body: str, samples: Sequence[Sample]) -> Cost:
    """Return the medians of a server's runs."""

    def median(value: Callable[[Sample], float]) -> float:
        return statistics.median(map(value, samples))

    return Cost(
        server=server,
        body=body,
        cpu_us=median(lambda one: one.cpu_us),
        rate=median(lambda one: one.load.rate),
        p50_ms=median(lambda one: one.load.p50_ms),
        p99_ms=median(lambda one: one.load.p99_ms),
        errors=sum(one.load.errors for one in samples),
        memory_mib=median(lambda one: one.memory_mib),
        ready_s=median(lambda one: one.ready_s),
    )


def ratios(samples: Sequence[Sample], *, reference: Sequence[Sample]) -> list[float]:
    """Return the CPU ratio of two servers, run by run."""
    return [one.cpu_us / other.cpu_us for one, other in zip(samples, reference, strict=True)]


def compare_workers(effort: Effort) -> list[Figure]:
    """Compare two workers with one at 64 connections; generator on the same cores."""
    gains, shares = [], []
    for _ in range(effort.repeats):
        rates = []
        for workers in (1, 2):
            with served(OURS, workers=workers) as running:
                url = running.url(OURS.classify.format(model="mnist"))
                load, _ = measure(running, url, Body(content=DIGIT.read_bytes()), effort.seconds, connections=64)
            rates.append(load.rate)
        gains.append(rates[1] / rates[0])
        shares.append(100 * load.own_cpu_s / load.seconds)
    return [
        Figure(name=f"answers a second of two workers against one, on {available_cores()} cores", values=gains),
        Figure(name="of one core, what the load generator used beside the two", values=shares, unit="%"),
    ]


def compare_batch(effort: Effort) -> list[Figure]:
    """Compare requests of 256 digits with this process, in images per second."""
    images, values = [DIGIT.read_bytes()] * BATCH, []
    for _ in range(effort.repeats):
        alone = classify_alone(images, effort.seconds)
        with served(OURS) as running:
            url = running.url("/v1/models/mnist/classify-batch")
            load, _ = measure(running, url, form("images", images), effort.seconds, connections=2)
        values.append(100 * load.rate * BATCH / alone)
    name = "images/s of classify-batch with 256 digits, against decoding and ONNX Runtime alone"
    return [Figure(name=name, values=values, target=85, unit="%", at_least=True)]


def classify_alone(images: Sequence[bytes], seconds: float) -> float:
    """Decode and classify batches in this process; return the images per second."""
    model = OnnxModel(newest_file("mnist", "int8"))
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        model.run(np.stack([model.decode(image) for image in images]))
        count += len(images)
    return count / elapsed


def compare_photograph(effort: Effort) -> list[Figure]:
    """Compare the CPU of a 12-megapixel JPEG with Pillow's open, convert, resize."""
    jpeg, values = photograph(), []
    for _ in range(effort.repeats):
        started, count = time.process_time(), 0
        while time.process_time() - started < effort.seconds / 2:
            np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB").resize((32, 32)))
            count += 1
        pillow_us = (time.process_time() - started) / count * 1e6
        with served(OURS) as running:
            url = running.url("/v1/models/cifar10/classify")
            ours_us = measure(running, url, Body(content=jpeg), effort.seconds, connections=2)[1]
        values.append(ours_us / pillow_us)
    return [Figure(name="CPU of a 12-megapixel JPEG to cifar10, against Pillow alone", values=values, target=0.25)]


def photograph(width: int = 4000, height: int = 3000) -> bytes:
    """Return a JPEG with the detail of a camera photograph, about 2 MB."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(256, size=(height // 40, width // 40, 3), dtype=np.uint8))
    fine = random.normal(0, 4, (height, width, 1))
    pixels = np.clip(np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) + fine, 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
