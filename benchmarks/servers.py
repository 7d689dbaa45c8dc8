"""Servers under measurement: start, CPU and memory of the process tree, stop."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from benchmarks.peers.onnx_model import MODEL
from models.contract import INT8_MODEL_FILE, MODEL_FILE, newest_version

ROOT = Path(__file__).parents[1]
PYTHON, BENTOML = [sys.executable, "-m"], [sys.executable, "-m", "bentoml", "serve"]
UVICORN = [*PYTHON, "uvicorn", "--loop", "uvloop", "--http", "httptools", "--port", "{port}"]


class ServerError(Exception):
    """A server did not start, or did not respond as expected."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A way to serve one model."""

    name: str
    command: Sequence[str]
    classify: str  # path for POST with an image
    ready: str  # path that responds with 200 once ready
    field: str = "image"  # form field of the image
    raw: bool = False  # also accepts the image as the request body
    min_cpu_ratio: float | None = None  # target: its CPU per request relative to ours


OURS = Server(
    name="this service",
    command=[*BENTOML, "--port", "{port}"],
    classify="/v1/models/{model}/classify",
    ready="/readyz",
    raw=True,
)
BASELINE = Server(
    name="bare ASGI handler",
    command=[*UVICORN, "--no-access-log", "benchmarks.peers.bare_asgi:app"],
    classify="/",
    ready="/",
    raw=True,
)
MOSEC = Server(
    name="mosec, one stage",
    command=[*PYTHON, "benchmarks.peers.with_mosec", "--port", "{port}", "--log-level", "error"],
    classify="/inference",
    ready="/",
    raw=True,
)
PEERS = [
    Server(
        name="FastAPI, UploadFile",
        command=[*UVICORN, "benchmarks.peers.with_fastapi:app"],
        classify="/classify",
        ready="/ready",
        min_cpu_ratio=2.2,
    ),
    Server(
        name="LitServe, batching",
        command=[*PYTHON, "benchmarks.peers.with_litserve", "--port", "{port}"],
        classify="/classify",
        ready="/health",
        min_cpu_ratio=6.5,
    ),
    Server(
        name="BentoML, typed image",
        command=[*BENTOML, "benchmarks.peers.with_bentoml:TypedClassifier", "--port", "{port}"],
        classify="/classify",
        ready="/readyz",
        min_cpu_ratio=12.0,
    ),
    Server(
        name="BentoML, batchable",
        command=[*BENTOML, "benchmarks.peers.with_bentoml_batchable:BatchableClassifier", "--port", "{port}"],
        classify="/classify",
        ready="/readyz",
        field="images",
    ),
]


class RunningServer:
    """A running server."""

    def __init__(self, server: Server, process: subprocess.Popen[bytes], port: int) -> None:
        self.server, self.process, self.port = server, process, port
        self.ready_s = 0.0
        self._root = psutil.Process(process.pid)

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def cpu_s(self) -> float:
        """Return the CPU time of the process tree, user and system."""
        return sum(sum(process.cpu_times()[:2]) for process in self._tree())

    def memory_mib(self) -> float:
        """Return the process tree's memory.

        Shared pages count once on Linux and do not count elsewhere.
        """
        found = [process.memory_full_info() for process in self._tree()]
        return sum(getattr(memory, "pss", memory.uss) for memory in found) / 2**20

    def _tree(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]


@contextmanager
def served(
    server: Server,
    *,
    model: str = "mnist",
    precision: str = "int8",
    workers: int = 1,
    cores: str = "",
    ready_within_s: float = 120,
) -> Iterator[RunningServer]:
    """Run a server during the block, which starts once the server is ready.

    Args:
        server: the server to start.
        model: the peers serve its newest version; our service serves all models.
        precision: of the file; int8 is our service's default on current CPUs.
        workers: of our service; the peers have one.
        cores: allowed CPU cores in taskset's format; empty for all.
        ready_within_s: seconds until a server that is not ready is stopped.

    Raises:
        ServerError: the server exited before it was ready, or was not ready in time.
    """
    port = free_port()
    environment = os.environ | {
        "CLASSIFIER_WORKERS": str(workers),
        "CLASSIFIER_DEVICE": "cpu",
        "CLASSIFIER_PRECISION": precision,
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOST": "127.0.0.1",
        MODEL: str(newest_file(model, precision)),
    }
    command = ["taskset", "--cpu-list", cores] if cores else []
    command += [part.format(port=port) for part in server.command]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        running = RunningServer(server, process, port)
        try:
            while not is_ready(running.url(server.ready)):
                if process.poll() is not None:
                    raise ServerError(f"{server.name} exited with status {process.returncode}:\n{_tail(log)}")
                if time.perf_counter() > started + ready_within_s:
                    raise ServerError(f"{server.name} was not ready within {ready_within_s:g} s:\n{_tail(log)}")
                time.sleep(0.01)
            running.ready_s = time.perf_counter() - started
            yield running
        finally:
            stop(process)


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read()[-2000:].decode(errors="replace")


def newest_file(model: str, precision: str) -> Path:
    """Return the path of an ONNX file of a model's newest version."""
    newest = newest_version(ROOT / "models" / model)
    assert newest is not None, f"no version of {model}"
    return newest / (INT8_MODEL_FILE if precision == "int8" else MODEL_FILE)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process and its descendants."""
    tree = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in tree:  # LitServe leaves its workers running
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def is_ready(url: str) -> bool:
    """Tell whether a GET request to the URL returns 200."""
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """Return an unused TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
