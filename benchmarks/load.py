"""Load the service on loopback with wrk and print what a request costs.

    uv run --group bench python -m benchmarks.load --image tests/images/mnist-7.png

Starts `bentoml serve` with one worker, waits until it is ready, warms it up, loads it and prints a table: seconds to
ready, CPU microseconds a request (user and system, of the whole server tree), requests a second, latency, errors and
memory. wrk (Debian: apt-get install wrk) is closed-loop; on a small machine it shares the cores with the server, so
trust CPU a request more than requests a second.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SCRIPT = """
wrk.method = "POST"
local file = io.open("{path}", "rb")
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/octet-stream"
"""


@contextmanager
def served(port: int) -> Iterator[tuple[psutil.Process, float]]:
    """Serve with one worker; yield the process at the head of the tree and its seconds to ready."""
    command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)]
    environment = {"CLASSIFIER_WORKERS": "1", "BENTOML_DO_NOT_TRACK": "True"} | os.environ
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_ready(port):
            if process.poll() is not None:
                sys.exit("the server ended; run `uv run bentoml serve` to see why")
            time.sleep(0.01)
        yield psutil.Process(process.pid), time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(30)


def is_ready(port: int) -> bool:
    """Ask /readyz once."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def tree(head: psutil.Process) -> list[psutil.Process]:
    """Return a process and all below it."""
    return [head, *head.children(recursive=True)]


def cpu_seconds(head: psutil.Process) -> float:
    """Return the CPU time that the tree has used."""
    return sum(sum(process.cpu_times()[:2]) for process in tree(head))


def memory_mib(head: psutil.Process) -> float:
    """Return the tree's proportional set size: shared pages counted once."""
    return sum(process.memory_full_info().pss for process in tree(head)) / 2**20


def load(url: str, image: Path, *, connections: int, seconds: int) -> dict[str, float]:
    """Run wrk; return requests, errors and latency in milliseconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(path=image.resolve()))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, url]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    milliseconds = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    latency = {
        f"p{found[1]}": float(found[2]) * milliseconds[found[3]]
        for found in re.finditer(r"(50|99)%\s+([\d.]+)(us|ms|s)", printed)
    }
    errors = sum(int(found) for found in re.findall(r"Non-2xx.*: (\d+)", printed))
    errors += sum(int(found) for found in re.findall(r"(?:connect|read|write|timeout) (\d+)", printed))
    requests = re.search(r"(\d+) requests in", printed)
    assert requests is not None, printed
    return {"requests": int(requests[1]), "errors": errors, **latency}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, required=True, help="the file that every request posts")
    parser.add_argument("--model", default="mnist", help="default: %(default)s")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64], help="default: 1 16 64")
    parser.add_argument("--seconds", type=int, default=10, help="a run, default: %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="of each number of connections, default: %(default)s")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}/v1/models/{arguments.model}/classify"
    with served(port) as (head, ready_s):
        load(url, arguments.image, connections=16, seconds=3)
        print(f"ready after {ready_s:.2f} s, {memory_mib(head):.0f} MiB after warm-up")
        print("connections  us CPU/request     req/s  p50 ms  p99 ms  errors  memory MiB")
        for connections in arguments.connections:
            for _ in range(arguments.runs):
                before = cpu_seconds(head)
                result = load(url, arguments.image, connections=connections, seconds=arguments.seconds)
                cost = (cpu_seconds(head) - before) / result["requests"] * 1e6
                print(
                    f"{connections:11d}  {cost:14.0f}  {result['requests'] / arguments.seconds:8.0f}"
                    f"  {result['p50']:6.2f}  {result['p99']:6.2f}  {result['errors']:6.0f}  {memory_mib(head):10.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
