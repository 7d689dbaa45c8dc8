"""Servers under measurement: how each is started, what its whole process tree costs, how it is stopped."""

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
READY_WITHIN_S = 60
PYTHON, BENTOML = [sys.executable, "-m"], [sys.executable, "-m", "bentoml", "serve"]
UVICORN = [*PYTHON, "uvicorn", "--loop", "uvloop", "--http", "httptools", "--port", "{port}"]


class ServerError(Exception):
    """A server did not start."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A way to serve one model."""

    name: str
    command: Sequence[str]
    classify: str  # path that takes an image by POST
    ready: str  # path that answers 200 when it can
    field: str = "image"  # of the form
    raw: bool = False  # it takes the image as the body itself, too
    target: float | None = None  # by how many times ours should be cheaper


OURS = Server(
    name="this service",
    command=[*BENTOML, "--port", "{port}"],
    classify="/v1/models/{model}/classify",
    ready="/readyz",
    raw=True,
)
BASELINE = Server(
    name="bare ASGI handler",
    command=[*UVICORN, "--no-access-log", "benchmarks.peers.floor:app"],
    classify="/",
    ready="/",
    raw=True,
)
PEERS = [
    Server(
        name="FastAPI, UploadFile",
        command=[*UVICORN, "benchmarks.peers.with_fastapi:app"],
        classify="/classify",
        ready="/ready",
        target=2.2,
    ),
    Server(
        name="LitServe, batching",
        command=[*PYTHON, "benchmarks.peers.with_litserve", "--port", "{port}"],
        classify="/classify",
        ready="/health",
        target=6.5,
    ),
    Server(
        name="BentoML, typed image",
        command=[*BENTOML, "benchmarks.peers.with_bentoml:TypedClassifier", "--port", "{port}"],
        classify="/classify",
        ready="/readyz",
        target=12.0,
    ),
    Server(
        name="BentoML, batchable",
        command=[*BENTOML, "benchmarks.peers.with_bentoml_batchable:BatchableClassifier", "--port", "{port}"],
        classify="/classify",
        ready="/readyz",
        field="images",
    ),
]


class Served:
    """A running server."""

    def __init__(self, server: Server, process: subprocess.Popen[bytes], port: int) -> None:
        self.server, self.process, self.port = server, process, port
        self.ready_s = 0.0
        self._head = psutil.Process(process.pid)

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def cpu_s(self) -> float:
        """Return the CPU time that the whole tree has used, user and system."""
        return sum(sum(process.cpu_times()[:2]) for process in self._tree())

    def memory_mib(self) -> float:
        """Return the tree's memory: pages that processes share are counted once on Linux, and elsewhere not at all."""
        found = [process.memory_full_info() for process in self._tree()]
        return sum(getattr(memory, "pss", memory.uss) for memory in found) / 2**20

    def _tree(self) -> list[psutil.Process]:
        return [self._head, *self._head.children(recursive=True)]


@contextmanager
def served(
    server: Server, *, model: str = "mnist", precision: str = "int8", workers: int = 1, cores: str = ""
) -> Iterator[Served]:
    """Serve until the block ends; ready when it begins.

    Args:
        server: what to start.
        model: whose newest version the peers serve; ours serves all.
        precision: of the file; int8 is what ours serves by itself on a CPU of today.
        workers: of ours; the peers have one.
        cores: that it may run on, as taskset has it; all, unless given.

    Raises:
        ServerError: it ended before it was ready, or was not ready in time.
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
        running = Served(server, process, port)
        try:
            while not is_ready(running.url(server.ready)):
                if process.poll() is not None:
                    raise ServerError(f"{server.name} ended with {process.returncode}:\n{_tail(log)}")
                if time.perf_counter() > started + READY_WITHIN_S:
                    raise ServerError(f"{server.name} was not ready within {READY_WITHIN_S} s:\n{_tail(log)}")
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
    """End a process and all that it started."""
    tree = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in tree:  # LitServe's outlive it
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def is_ready(url: str) -> bool:
    """Ask once."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
