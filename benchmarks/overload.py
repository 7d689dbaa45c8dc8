"""Response rate and latency of the service above its peak rate."""

import resource
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.generators import Body, OpenLoop, load_closed, load_open
from benchmarks.images import DIGIT, PHOTO
from benchmarks.load import measure_load
from benchmarks.measurements import Measurement, RunOptions
from benchmarks.servers import OURS, served
from service.problems import RETRY_AFTER_S

SUCCEEDED, REJECTED = 200, 503  # status
PAUSE_S = 2 * RETRY_AFTER_S  # until a full queue accepts requests again
RUNS_PER_REPEAT = 2  # a machine's peak varies by 10 % within a minute, the successful share by more


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
        model="mnist", precision="int8", image=DIGIT, factor=1.5, connections=1280, peak_connections=256, target=75
    ),
    Overload(  # most connections are idle at any time
        model="mnist", precision="int8", image=DIGIT, factor=1.5, connections=4096, peak_connections=256
    ),
)


def measure_overload(options: RunOptions, *, seconds: int = 30) -> list[Measurement]:
    """Send more than the peak; measure rate and latency of responses and rejections."""
    allow_connections(max(overload.connections for overload in OVERLOADS))
    measurements = []
    for overload in OVERLOADS:
        runs = [run_overload(overload, seconds=seconds) for _ in range(RUNS_PER_REPEAT * options.repeats)]
        loads = [load for _, load in runs]
        name = f"{overload.model}, {overload.precision}, {overload.factor:g} times the peak rate"
        name += f" from {overload.connections:,} connections over {seconds} s"
        succeeded = [100 * load.rate(SUCCEEDED) / peak for peak, load in runs]
        sent = [100 * load.total / load.seconds / peak for peak, load in runs]
        rejected = [100 * load.count(REJECTED) / load.total for load in loads]
        other = sum(load.total - load.count(SUCCEEDED) - load.count(REJECTED) for load in loads)
        measurements += [
            Measurement(
                name=f"{name}: rate of 200 responses relative to the peak rate",
                values=succeeded,
                target=overload.target,
                unit="%",
                at_least=True,
            ),
            Measurement(
                name=f"{name}: p99 latency of 200 responses",
                values=[load.p99_ms(SUCCEEDED) for load in loads],
                target=250,
                unit="ms",
            ),
            Measurement(name=f"{name}: rate of requests sent relative to the peak rate", values=sent, unit="%"),
            Measurement(name=f"{name}: share of requests rejected with 503", values=rejected, unit="%"),
            Measurement(
                name=f"{name}: p99 latency of 503 responses",
                values=[load.p99_ms(REJECTED) for load in loads],
                target=50,
                unit="ms",
            ),
            Measurement(
                name=f"{name}: requests with neither a 200 nor a 503 response, in all runs", values=[other], target=0
            ),
        ]
    return measurements


def run_overload(overload: Overload, *, seconds: int) -> tuple[float, OpenLoop]:
    """Return the peak rate and the measurement at ``factor`` times this rate.

    The peak is the mean of closed loops before and after, because the speed of machines varies.
    """
    with served(OURS, model=overload.model, precision=overload.precision) as running:
        url, body = running.url(f"/v1/models/{overload.model}/classify"), Body(content=overload.image.read_bytes())

        def measure_peak() -> float:
            seconds_per_peak = max(2, seconds // 3)
            return measure_load(running, url, body, seconds_per_peak, connections=overload.peak_connections)[0].rate

        before = measure_peak()
        load = load_open(url, body, rate=overload.factor * before, connections=overload.connections, seconds=seconds)
        time.sleep(PAUSE_S)
        return (before + measure_peak()) / 2, load


def measure_retries(options: RunOptions, *, connections: int = 1536, peak_connections: int = 256) -> list[Measurement]:
    """Measure clients that ignore Retry-After and repeat a rejected request at once."""
    allow_connections(connections)
    shares = []
    for _ in range(options.repeats):
        with served(OURS) as running:
            url, body = running.url("/v1/models/mnist/classify"), Body(content=DIGIT.read_bytes())
            peak = measure_load(running, url, body, options.seconds, connections=peak_connections)[0].rate
            load = load_closed(url, body, connections=connections, seconds=options.seconds)
            time.sleep(PAUSE_S)
            shares.append(100 * load.rate / peak)
    name = f"mnist, {connections:,} clients that retry at once: rate of 200 responses relative to the peak rate"
    return [Measurement(name=name, values=shares, target=40, unit="%", at_least=True)]


def allow_connections(count: int) -> None:
    """Raise the limit of open files for this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, count + 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
