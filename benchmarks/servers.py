"""Servers under measurement: how each is started, what its whole process tree costs, how it is stopped."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.peers.onnx_model import MODEL
from models.layout import MODEL_FILE, newest_version

ROOT = Path(__file__).parents[1]
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


OURS = Server(
    name="this service",
    command=[*BENTOML, "--port", "{port}"],
    classify="/v1/models/{model}/classify",
    ready="/readyz",
    raw=True,
)
FLOOR = Server(
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
    ),
    Server(
        name="LitServe, batching",
        command=[*PYTHON, "benchmarks.peers.with_litserve", "--port", "{port}"],
        classify="/classify",
        ready="/health",
    ),
    Server(
        name="BentoML, typed image",
        command=[*BENTOML, "benchmarks.peers.with_bentoml:TypedClassifier", "--port", "{port}"],
        classify="/classify",
        ready="/readyz",
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
        """Return the tree's proportional set size: pages that processes share are counted once."""
        return sum(process.memory_full_info().pss for process in self._tree()) / 2**20

    def _tree(self) -> list[psutil.Process]:
        return [self._head, *self._head.children(recursive=True)]


@contextmanager
def served(server: Server, *, model: str = "mnist", workers: int = 1, **settings: str) -> Iterator[Served]:
    """Serve until the block ends; ready when it begins.

    Args:
        server: what to start.
        model: whose newest version the peers serve; ours serves all.
        workers: of ours; the peers have one.
        settings: of ours.

    Raises:
        ServerError: it ended before it was ready.
    """
    port = free_port()
    ours = {f"CLASSIFIER_{name.upper()}": value for name, value in settings.items()}
    environment = (
        os.environ
        | ours
        | {
            "CLASSIFIER_WORKERS": str(workers),
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOST": "127.0.0.1",
            MODEL: newest_file(model),
        }
    )
    command = [part.format(port=port) for part in server.command]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    running = Served(server, process, port)
    try:
        while not is_ready(running.url(server.ready)):
            if process.poll() is not None:
                raise ServerError(f"{server.name} ended with {process.returncode}; to see why: {' '.join(command)}")
            time.sleep(0.01)
        running.ready_s = time.perf_counter() - started
        yield running
    finally:
        stop(process)


def newest_file(model: str) -> str:
    """Return the path of the ONNX file of a model's newest version."""
    newest = newest_version(ROOT / "models" / model)
    assert newest is not None, f"no version of {model}"
    return str(newest / MODEL_FILE)


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
