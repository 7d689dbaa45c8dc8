"""Load from existing generators, each a process of its own: wrk closed-loop, h2load open-loop."""

import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}  # Debian's
BOUNDARY = "benchmark-boundary"
SCRIPT = """
wrk.method = "POST"
local file = io.open("{path}", "rb")
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "{content_type}"
"""
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class GeneratorError(Exception):
    """A load generator is not installed, or printed something unknown."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """What every request posts."""

    content: bytes
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, kw_only=True)
class ClosedLoop:
    """What wrk saw: each connection sends its next request when the last was answered."""

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class OpenLoop:
    """What h2load saw: requests come at their rate whatever the server does."""

    seconds: float
    milliseconds: Mapping[int, Sequence[float]]  # status -> of each answer, sorted

    def rate(self, status: int) -> float:
        """Return the answers of a status a second."""
        return len(self.milliseconds.get(status, ())) / self.seconds

    def p99_ms(self, status: int) -> float:
        """Return the 99th percentile of a status' latencies."""
        times = self.milliseconds.get(status, ())
        return statistics.quantiles(times, n=100)[98] if len(times) > 1 else float("nan")


def form(field: str, images: Sequence[bytes]) -> Body:
    """Return images as a multipart form."""
    head = f'Content-Disposition: form-data; name="{field}"; filename="image.png"\r\nContent-Type: image/png\r\n\r\n'
    parts = [f"--{BOUNDARY}\r\n{head}".encode() + image + b"\r\n" for image in images]
    content = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
    return Body(content=content, content_type=f"multipart/form-data; boundary={BOUNDARY}")


def load_closed(url: str, body: Body, *, connections: int, seconds: int) -> ClosedLoop:
    """Run wrk."""
    with as_file(body) as path, tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(path=path, content_type=body.content_type))
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "30s",
            "--latency",
            "-s",
            script.name,
        ]
        printed = run([*command, url])
    percentiles = {
        found[1]: float(found[2]) * MILLISECONDS[found[3]]
        for found in re.finditer(r"(50|99)%\s+([\d.]+)(us|ms|s)", printed)
    }
    errors = sum(int(found) for found in re.findall(r"Non-2xx.*: (\d+)", printed))
    errors += sum(int(found) for found in re.findall(r"(?:connect|read|write|timeout) (\d+)", printed))
    requests = re.search(r"(\d+) requests in ([\d.]+)s", printed)
    if not requests or len(percentiles) < 2:
        raise GeneratorError(f"wrk printed something unknown:\n{printed}")
    return ClosedLoop(
        requests=int(requests[1]),
        errors=errors,
        seconds=float(requests[2]),
        p50_ms=percentiles["50"],
        p99_ms=percentiles["99"],
    )


def load_open(url: str, body: Body, *, rate: float, connections: int, seconds: int) -> OpenLoop:
    """Run h2load over HTTP/1.1, ``rate`` requests a second over so many connections."""
    with as_file(body) as path, tempfile.NamedTemporaryFile("r") as log:
        command = ["h2load", "--h1", "-t1", f"-c{connections}", f"-D{seconds}", f"--rps={rate / connections:.3f}"]
        command += [f"-d{path}", f"-Hcontent-type: {body.content_type}", f"--log-file={log.name}", url]
        run(command)
        rows = [line.split("\t") for line in Path(log.name).read_text().splitlines()]
    times: dict[int, list[float]] = {}
    for _, status, microseconds in rows:
        times.setdefault(int(status), []).append(int(microseconds) / 1e3)
    return OpenLoop(seconds=seconds, milliseconds={status: sorted(found) for status, found in times.items()})


@contextmanager
def as_file(body: Body) -> Iterator[Path]:
    """Yield the body's content in a file."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body.content)
        file.flush()
        yield Path(file.name)


def run(command: list[str]) -> str:
    """Run a generator and return what it printed.

    Raises:
        GeneratorError: it is not installed, or failed.
    """
    if shutil.which(command[0]) is None:
        raise GeneratorError(
            f"{command[0]} is not installed; on Debian: apt-get install {PACKAGES.get(command[0], command[0])}"
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GeneratorError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
