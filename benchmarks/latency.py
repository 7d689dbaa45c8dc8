"""Tail latency and errors of the service."""

from benchmarks.generators import Body, load_closed
from benchmarks.images import DIGIT
from benchmarks.load import Generator, measure_load
from benchmarks.measurements import Measurement, RunOptions
from benchmarks.servers import OURS, RunningServer, ServerError, served
from training.plurals import describe_count

ERROR_CONNECTIONS = (1, 16, 64, 256, 1024)
TAIL_CONNECTIONS = (16, 64)
CLASSIFY = "/v1/models/mnist/classify"


def measure_tail(options: RunOptions, *, seconds: int = 60) -> list[Measurement]:
    """Compare the 99th percentile of latency with the median over a minute."""
    tails: dict[int, list[float]] = {connections: [] for connections in TAIL_CONNECTIONS}
    for _ in range(options.repeats):
        with served(OURS) as running:
            url, body = running.url(CLASSIFY), Body(content=DIGIT.read_bytes())
            for connections, found in tails.items():
                load, _ = measure_load(running, url, body, seconds, connections=connections)
                found.append(load.p99_ms / load.p50_ms)
    return [
        Measurement(
            name=f"latency p99 / p50 from {describe_count(connections, 'connection')} over {seconds} s",
            values=found,
            target=3,
        )
        for connections, found in tails.items()
    ]


def measure_errors(options: RunOptions) -> list[Measurement]:
    """Count errors for a digit from few and many connections."""
    with served(OURS) as running:
        return [count_errors(running, connections, options) for connections in ERROR_CONNECTIONS]


def count_errors(
    running: RunningServer, connections: int, options: RunOptions, *, generate: Generator = load_closed
) -> Measurement:
    """Count the errors of a running server, in all runs.

    Raises:
        ServerError: no request of a run succeeded.
    """
    url, body = running.url(CLASSIFY), Body(content=DIGIT.read_bytes())
    loads = [generate(url, body, connections=connections, seconds=options.seconds) for _ in range(options.repeats)]
    count = describe_count(connections, "connection")
    if not all(load.successes for load in loads):
        raise ServerError(f"{running.server.name}: no response with status 200 from {count} to {url}")
    return Measurement(name=f"errors from {count}", values=[sum(load.errors for load in loads)], target=0)
