"""Load on a running server: rate, latency and CPU per request."""

from typing import Protocol

from benchmarks.generators import Body, ClosedLoop, load_closed
from benchmarks.servers import RunningServer, ServerError

WARM_UP_S = 2


class Generator(Protocol):
    """The signature of :func:`load_closed`."""

    def __call__(self, url: str, body: Body, *, connections: int, seconds: int) -> ClosedLoop:
        """Send requests for ``seconds``."""


def measure_load(
    running: RunningServer,
    url: str,
    body: Body,
    seconds: int,
    *,
    connections: int = 16,
    generate: Generator = load_closed,
) -> tuple[ClosedLoop, float]:
    """Warm up and load a server; return the measurement and the CPU µs per request.

    Raises:
        ServerError: a request failed, or no request succeeded.
    """
    generate(url, body, connections=connections, seconds=WARM_UP_S)
    before = running.cpu_s()
    load = generate(url, body, connections=connections, seconds=seconds)
    if load.errors or not load.successes:
        raise ServerError(
            f"{running.server.name}: expected only responses with status 200 from {url}, "
            f"got {load.successes} with status 200, errors: {load.errors}"
        )
    return load, (running.cpu_s() - before) / load.successes * 1e6
