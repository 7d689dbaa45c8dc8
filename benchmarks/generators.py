"""Load generators in subprocesses: wrk for closed, h2load for open loops."""

import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}  # command -> Debian package
BOUNDARY = "benchmark-boundary"
GROUPS = 32  # maximum number of groups in which connections are opened
RAMP_S, SETTLING_S = 3.0, 5.0  # see load_open
SCRIPT = """
wrk.method = "POST"
local file = io.open("{path}", "rb")
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "{content_type}"
"""
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}  # wrk's units
TIME = r"([\d.]+)(us|ms|s|m|h)"


class GeneratorError(Exception):
    """A load generator is not installed, failed, or printed unexpected output."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """Body of every request."""

    content: bytes
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, kw_only=True)
class ClosedLoop:
    """Measurement of wrk: a connection sends its next request after a response."""

    successes: int  # responses with status 200
    errors: int  # all other requests
    seconds: float
    p50_ms: float
    p99_ms: float
    own_cpu_s: float = 0.0  # of the generator itself

    @property
    def rate(self) -> float:
        """Return the responses with status 200 per second."""
        return self.successes / self.seconds


@dataclass(frozen=True, kw_only=True)
class OpenLoop:
    """Measurement of h2load: requests at a fixed rate while a connection is free."""

    seconds: float  # of sending
    milliseconds: Mapping[int, Sequence[float]]  # status -> sorted latencies

    @property
    def total(self) -> int:
        """Return the number of requests, below the requested rate if connections ran out."""
        return sum(map(len, self.milliseconds.values()))

    def count(self, status: int) -> int:
        """Return the number of responses with a status; -1: without a response."""
        return len(self.milliseconds.get(status, ()))

    def rate(self, status: int) -> float:
        """Return the responses with a status per second."""
        return self.count(status) / self.seconds

    def p99_ms(self, status: int) -> float:
        """Return the 99th percentile of latency for a status; NaN below two responses."""
        times = self.milliseconds.get(status, ())
        return statistics.quantiles(times, n=100)[98] if len(times) > 1 else float("nan")


def form(field: str, images: Sequence[bytes]) -> Body:
    """Return images as a multipart form."""
    part_header = (
        f'Content-Disposition: form-data; name="{field}"; filename="image.png"\r\nContent-Type: image/png\r\n\r\n'
    )
    parts = [f"--{BOUNDARY}\r\n{part_header}".encode() + image + b"\r\n" for image in images]
    content = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
    return Body(content=content, content_type=f"multipart/form-data; boundary={BOUNDARY}")


def load_closed(url: str, body: Body, *, connections: int, seconds: int) -> ClosedLoop:
    """Run wrk for ``seconds`` and parse its output."""
    with as_file(body) as path, tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(path=path, content_type=body.content_type))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{max(2, seconds // 2)}s"]
        command += ["--latency", "-s", script.name]
        before = _children_cpu_s()
        printed = run_generator([*command, url])
        return replace(parse_wrk(printed), own_cpu_s=_children_cpu_s() - before)


def parse_wrk(printed: str) -> ClosedLoop:
    """Parse the output of wrk.

    Raises:
        GeneratorError: the output is not wrk's.
    """
    requests = re.search(rf"(\d+) requests in {TIME}", printed)
    percentiles = {found[1]: _seconds(found, 2) for found in re.finditer(rf"(50|99)%\s+{TIME}", printed)}
    if not requests or len(percentiles) < 2:
        raise GeneratorError(f"unexpected output of wrk:\n{printed}")
    non_2xx = sum(int(found) for found in re.findall(r"Non-2xx.*: (\d+)", printed))
    socket_errors = sum(int(found) for found in re.findall(r"(?:connect|read|write|timeout) (\d+)", printed))
    return ClosedLoop(
        successes=int(requests[1]) - non_2xx,
        errors=non_2xx + socket_errors,
        seconds=_seconds(requests, 2),
        p50_ms=percentiles["50"] * 1e3,
        p99_ms=percentiles["99"] * 1e3,
    )


def _children_cpu_s() -> float:
    """Return the CPU time of finished child processes."""
    times = os.times()
    return times.children_user + times.children_system


def _seconds(found: re.Match[str], group: int) -> float:
    return float(found[group]) * SECONDS[found[group + 1]]


def load_open(
    url: str,
    body: Body,
    *,
    rate: float,
    connections: int,
    seconds: int,
    ramp_s: float = RAMP_S,
    settling_s: float = SETTLING_S,
) -> OpenLoop:
    """Run h2load over HTTP/1.1 at ``rate`` requests per second.

    Each connection keeps its own schedule. They open in groups, because connections opened at once would send at once.

    Args:
        url: receives the requests.
        body: of every request.
        rate: requests per second over all connections.
        connections: open at the same time.
        seconds: of the measurement.
        ramp_s: seconds until all connections are open.
        settling_s: seconds after the first request that are not measured.
    """
    groups, count = min(GROUPS, connections), round(rate * (settling_s + seconds))
    with as_file(body) as path, tempfile.NamedTemporaryFile("r") as log:
        command = ["h2load", "--h1", "-t1", f"-c{connections}", f"-n{count}"]
        command += [f"--rps={rate / connections:.3f}"]
        command += [f"-r{connections // groups}", f"--rate-period={round(1e3 * ramp_s / groups)}ms"]
        command += [f"-d{path}", f"-Hcontent-type: {body.content_type}", f"--log-file={log.name}", url]
        run_generator(command)
        rows = [line.split("\t") for line in Path(log.name).read_text().splitlines()]
    return parse_h2load(rows, seconds=seconds, settling_s=settling_s)


def parse_h2load(rows: Sequence[Sequence[str]], *, seconds: float, settling_s: float = SETTLING_S) -> OpenLoop:
    """Parse the log of h2load: start in µs, status and duration in µs per request.

    Only requests sent within ``seconds`` after ``settling_s`` count. Latency starts when a request is sent.

    Raises:
        GeneratorError: the log is empty.
    """
    if not rows:
        raise GeneratorError("h2load sent no requests")
    first = min(int(start) for start, _, _ in rows)
    times: dict[int, list[float]] = {}
    for start, status, microseconds in rows:
        if settling_s <= (int(start) - first) / 1e6 < settling_s + seconds:
            times.setdefault(int(status), []).append(int(microseconds) / 1e3)
    return OpenLoop(seconds=seconds, milliseconds={status: sorted(found) for status, found in times.items()})


@contextmanager
def as_file(body: Body) -> Iterator[Path]:
    """Yield a temporary file with the body's content."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body.content)
        file.flush()
        yield Path(file.name)


def check_installed() -> None:
    """Check for the generators before hours of measurement.

    Raises:
        GeneratorError: a generator is not installed.
    """
    for name, package in PACKAGES.items():
        if shutil.which(name) is None:
            raise GeneratorError(f"{name} is not installed; on Debian: apt-get install {package}")


def run_generator(command: list[str]) -> str:
    """Run a generator and return its standard output.

    Raises:
        GeneratorError: a generator is not installed, or this one failed.
    """
    check_installed()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GeneratorError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
