"""Tail latency, errors, overload, start and memory of the service."""

import resource
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cost import DIGIT, PHOTO, Effort, measure
from benchmarks.figures import Figure
from benchmarks.generators import Body, OpenLoop, load_closed, load_open
from benchmarks.servers import OURS, ServerError, served
from service.problems import RETRY_AFTER_S

CONNECTIONS = (1, 16, 64, 256)
TAIL_CONNECTIONS = (16, 64)
ANSWERED, REFUSED = 200, 503
PAUSE_S = 2 * RETRY_AFTER_S  # until a full queue accepts requests again
OVERLOADS_A_REPEAT = 2  # a machine's peak varies by 10 % within a minute, the successful share by more


@dataclass(frozen=True, kw_only=True)
class Overload:
    """A load above a model's peak, with enough connections to cause rejections."""

    model: str
    precision: str  # of the model file
    image: Path
    factor: float  # times the peak rate
    connections: int
    peak_connections: int  # enough to keep the model busy, too few for rejections
    target: float | None = None  # responses per second, per cent of the peak


OVERLOADS = (
    Overload(
        model="cifar10", precision="float32", image=PHOTO, factor=3, connections=512, peak_connections=32, target=85
    ),
    Overload(
        model="mnist", precision="int8", image=DIGIT, factor=1.5, connections=1280, peak_connections=256, target=60
    ),
    Overload(  # most connections are idle at any time
        model="mnist", precision="int8", image=DIGIT, factor=1.5, connections=4096, peak_connections=256
    ),
)


def measure_tail(effort: Effort, *, seconds: int = 60) -> list[Figure]:
    """Compare the 99th percentile of latency with the median over a minute."""
    tails: dict[int, list[float]] = {connections: [] for connections in TAIL_CONNECTIONS}
    for _ in range(effort.repeats):
        with served(OURS) as running:
            url, body = running.url("/v1/models/mnist/classify"), Body(content=DIGIT.read_bytes())
            for connections, found in tails.items():
                load, _ = measure(running, url, body, seconds, connections=connections)
                found.append(load.p99_ms / load.p50_ms)
    return [
        Figure(name=f"p99 / p50 at {connections} connections over {seconds} s", values=found, target=4)
        for connections, found in tails.items()
    ]


def count_errors(effort: Effort) -> list[Figure]:
    """Count errors for a digit from few and many connections."""
    figures = []
    with served(OURS) as running:
        url, body = running.url("/v1/models/mnist/classify"), Body(content=DIGIT.read_bytes())
        for connections in CONNECTIONS:
            loads = [
                load_closed(url, body, connections=connections, seconds=effort.seconds) for _ in range(effort.repeats)
            ]
            if not all(load.answers for load in loads):
                raise ServerError(f"{running.server.name} had no response with status 200 at {connections} connections")
            name = f"errors at {connections} connections"
            figures.append(Figure(name=name, values=[sum(load.errors for load in loads)], target=0))
    return figures


def overload(effort: Effort, *, seconds: int = 30) -> list[Figure]:
    """Send more than the peak; measure rate and latency of responses and rejections."""
    allow_connections(max(scenario.connections for scenario in OVERLOADS))
    figures = []
    for scenario in OVERLOADS:
        runs = [overload_once(scenario, seconds=seconds) for _ in range(OVERLOADS_A_REPEAT * effort.repeats)]
        loads = [load for _, load in runs]
        name = f"{scenario.model}, {scenario.precision}, at {scenario.factor:g}x its peak over {seconds} s"
        name += f" from {scenario.connections:,} connections"
        answered = [100 * load.rate(ANSWERED) / peak for peak, load in runs]
        sent = [100 * load.total / load.seconds / peak for peak, load in runs]
        refused = [100 * load.count(REFUSED) / load.total for load in loads]
        lost = sum(load.total - load.count(ANSWERED) - load.count(REFUSED) for load in loads)
        figures += [
            Figure(
                name=f"{name}: answers a second against the peak",
                values=answered,
                target=scenario.target,
                unit="%",
                at_least=True,
            ),
            Figure(
                name=f"{name}: p99 of the answers",
                values=[load.p99_ms(ANSWERED) for load in loads],
                target=250,
                unit="ms",
            ),
            Figure(name=f"{name}: sent a second against the peak", values=sent, unit="%"),
            Figure(name=f"{name}: refused", values=refused, unit="%"),
            Figure(
                name=f"{name}: p99 of the refusals",
                values=[load.p99_ms(REFUSED) for load in loads],
                target=50,
                unit="ms",
            ),
            Figure(name=f"{name}: neither answered nor refused, in all runs", values=[lost], target=0),
        ]
    return figures


def overload_once(asked: Overload, *, seconds: int) -> tuple[float, OpenLoop]:
    """Return the peak rate and the measurement at ``factor`` times this rate.

    The peak is the mean of closed loops before and after, because the speed of machines varies.
    """
    with served(OURS, model=asked.model, precision=asked.precision) as running:
        url, body = running.url(f"/v1/models/{asked.model}/classify"), Body(content=asked.image.read_bytes())

        def peak() -> float:
            return measure(running, url, body, max(2, seconds // 3), connections=asked.peak_connections)[0].rate

        before = peak()
        load = load_open(url, body, rate=asked.factor * before, connections=asked.connections, seconds=seconds)
        time.sleep(PAUSE_S)
        return (before + peak()) / 2, load


def allow_connections(count: int) -> None:
    """Raise the limit of open files for this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, count + 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def measure_start(effort: Effort) -> list[Figure]:
    """Measure the time from start to readiness."""
    values = []
    for _ in range(max(3, effort.repeats)):
        with served(OURS) as running:
            values.append(running.ready_s)
    return [Figure(name="from `bentoml serve` to ready", values=values, target=2, unit="s")]


def measure_memory(effort: Effort, *, seconds: int = 300) -> list[Figure]:
    """Measure the memory of the process tree after minutes of load."""
    values = []
    for _ in range(effort.repeats):
        with served(OURS) as running:
            for model, image in (("cifar10", PHOTO), ("mnist", DIGIT)):
                url, body = running.url(f"/v1/models/{model}/classify"), Body(content=image.read_bytes())
                measure(running, url, body, seconds // 2)
            values.append(running.memory_mib() * 2**20 / 1e6)
    return [Figure(name=f"memory of the whole tree after {seconds} s of load", values=values, target=400, unit="MB")]
