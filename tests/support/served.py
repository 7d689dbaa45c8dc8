"""A real served process: `bentoml serve` on a free port, its log read until it says that it is ready."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.paths import ROOT

PATIENT = {"deadline_ms": 60_000, "body_timeout_ms": 60_000, "max_wait_ms": 60_000}  # for machines that do other work


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with ``settings``, and PATIENT ones, as its only CLASSIFIER_ variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLASSIFIER_", "PROMETHEUS_"))}
    ours = {f"CLASSIFIER_{name.upper()}": str(value) for name, value in (PATIENT | settings).items()}
    return kept | {"BENTOML_DO_NOT_TRACK": "True"} | ours


@dataclass
class Served:
    """The process, its address and what it logged."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    ended: bool = False

    def read_log(self) -> None:
        """Collect the log until the process ends, on a thread."""
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self.changed:
                    self.lines.append(line)
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_for(self, text: str, count: int = 1, timeout: float = 120) -> None:
        """Wait until ``count`` lines hold ``text``, or fail with the log."""

        def seen() -> bool:
            return sum(text in line for line in self.lines) >= count

        with self.changed:
            self.changed.wait_for(lambda: seen() or self.ended, timeout)
            assert seen(), f"no {text!r} in the log:\n{''.join(self.lines)}"

    def log(self) -> str:
        """Return what was logged so far."""
        with self.changed:
            return "".join(self.lines)


@contextmanager
def serve(
    *command: str, cwd: Path = ROOT, env: dict[str, str] | None = None, workers: int = 1, **settings: object
) -> Iterator[Served]:
    """Serve until the block ends; ready when it begins."""
    port = free_port()
    command = command or (sys.executable, "-m", "bentoml", "serve")
    environ = env or environment(device="cpu", workers=workers, **settings)
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        cwd=cwd,
        env=environ | {"BENTOML_HOST": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    served = Served(process, f"http://127.0.0.1:{port}")
    reader = threading.Thread(target=served.read_log)
    reader.start()
    try:
        served.wait_for("ready: serving", workers)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            reader.join(10)
