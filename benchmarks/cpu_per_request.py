"""CPU per request of the service, compared with other servers and with Pillow."""

import io
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from benchmarks.generators import Body, ClosedLoop, form
from benchmarks.images import DIGIT, make_photograph
from benchmarks.load import measure_load
from benchmarks.measurements import Measurement, RunOptions, ServerSummary
from benchmarks.servers import BASELINE, MOSEC, OURS, PEERS, Server, served

CONNECTIONS = 16  # of the table and of the peers that take forms


@dataclass(frozen=True, kw_only=True)
class ServerRun:
    """One run of one server under load."""

    load: ClosedLoop
    cpu_us: float  # per request
    memory_mib: float
    ready_s: float


def compare_servers(options: RunOptions) -> tuple[list[ServerSummary], list[Measurement]]:
    """Post a digit to each server, in turns."""
    cases: list[tuple[Server, str, Sequence[int]]] = [
        (BASELINE, "raw", (16, 64)),
        (OURS, "raw", (16, 64, 256)),
        (OURS, "form", (16, 64)),
        (MOSEC, "raw", (16, 64, 256)),
        *((peer, "form", (CONNECTIONS,)) for peer in PEERS),
    ]
    runs: dict[tuple[str, str, int], list[ServerRun]] = {}
    for _ in range(options.repeats):
        for server, body, connections in cases:
            for count, run in run_server(server, body, options, connections).items():
                runs.setdefault((server.name, body, count), []).append(run)
                where = f"{server.name}, {body}, {count} connections"
                print(f"{where}: {run.cpu_us:.0f} µs CPU per request", flush=True)
    summaries = [summarize(name, body, found) for (name, body, count), found in runs.items() if count == CONNECTIONS]
    measurements = []
    for body, target in (("raw", 0.65), ("form", 0.75)):
        for count in (16, 64):
            values = cpu_ratios(runs[OURS.name, body, count], reference=runs[BASELINE.name, "raw", count])
            name = f"CPU per request, {body} body, {count} connections: {OURS.name} relative to the {BASELINE.name}"
            measurements.append(Measurement(name=name, values=values, target=target))
    for count in (16, 64, 256):
        values = cpu_ratios(runs[MOSEC.name, "raw", count], reference=runs[OURS.name, "raw", count])
        name = f"CPU per request, raw body, {count} connections: {MOSEC.name}, relative to {OURS.name}"
        measurements.append(Measurement(name=name, values=values, target=1.0, at_least=True))
    ours = runs[OURS.name, "form", CONNECTIONS]
    for peer in (peer for peer in PEERS if peer.min_cpu_ratio):
        values = cpu_ratios(runs[peer.name, "form", CONNECTIONS], reference=ours)
        name = f"CPU per request, form: {peer.name}, relative to {OURS.name}"
        measurements.append(Measurement(name=name, values=values, target=peer.min_cpu_ratio, at_least=True))
    return summaries, measurements


def run_server(
    server: Server, body: str, options: RunOptions, connections: Sequence[int] = (CONNECTIONS,)
) -> dict[int, ServerRun]:
    """Start a server, warm it up and measure it under load, by number of connections."""
    with served(server) as running:
        url = running.url(server.classify.format(model="mnist"))
        content = Body(content=DIGIT.read_bytes()) if body == "raw" else form(server.field, [DIGIT.read_bytes()])
        runs = {}
        for count in connections:
            load, cpu_us = measure_load(running, url, content, options.seconds, connections=count)
            runs[count] = ServerRun(load=load, cpu_us=cpu_us, memory_mib=running.memory_mib(), ready_s=running.ready_s)
        return runs


def summarize(server: str, body: str, runs: Sequence[ServerRun]) -> ServerSummary:
    """Return the medians of a server's runs."""

    def median(value: Callable[[ServerRun], float]) -> float:
        return statistics.median(map(value, runs))

    return ServerSummary(
        server=server,
        body=body,
        cpu_us=median(lambda run: run.cpu_us),
        rate=median(lambda run: run.load.rate),
        p50_ms=median(lambda run: run.load.p50_ms),
        p99_ms=median(lambda run: run.load.p99_ms),
        errors=sum(run.load.errors for run in runs),
        memory_mib=median(lambda run: run.memory_mib),
        ready_s=median(lambda run: run.ready_s),
    )


def cpu_ratios(runs: Sequence[ServerRun], *, reference: Sequence[ServerRun]) -> list[float]:
    """Return the CPU ratio of two servers, run by run."""
    return [run.cpu_us / other.cpu_us for run, other in zip(runs, reference, strict=True)]


def compare_photograph(options: RunOptions) -> list[Measurement]:
    """Compare the CPU of a 12-megapixel JPEG with Pillow's open, convert, resize."""
    jpeg, values = make_photograph(), []
    for _ in range(options.repeats):
        started, count = time.process_time(), 0
        while time.process_time() - started < options.seconds / 2:
            np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB").resize((32, 32)))
            count += 1
        pillow_us = (time.process_time() - started) / count * 1e6
        with served(OURS) as running:
            url = running.url("/v1/models/cifar10/classify")
            ours_us = measure_load(running, url, Body(content=jpeg), options.seconds, connections=2)[1]
        values.append(ours_us / pillow_us)
    name = f"CPU per 12-megapixel JPEG for cifar10: {OURS.name} relative to Pillow without a server"
    return [Measurement(name=name, values=values, target=0.25)]
