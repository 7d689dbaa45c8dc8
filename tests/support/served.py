"""A real `bentoml serve` process on a free port, with its log."""

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

PATIENT = {"deadline_ms": 60_000, "body_timeout_ms": 60_000, "max_wait_ms": 60_000}  # long enough for busy machines


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: object) -> dict[str, str]:
    """Return the environment with only these CLASSIFIER_ variables and PATIENT."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLASSIFIER_", "PROMETHEUS_"))}
    ours = {f"CLASSIFIER_{name.upper()}": str(value) for name, value in (PATIENT | settings).items()}
    return kept | {"BENTOML_DO_NOT_TRACK": "True"} | ours


@dataclass
class Served:
    """A served process, its address and its log."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    ended: bool = False

    def read_log(self) -> None:
        """Collect log lines until the process ends; runs on a thread."""
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
        """Wait until ``count`` lines contain ``text``, or fail with the log."""

        def seen() -> bool:
            return sum(text in line for line in self.lines) >= count

        with self.changed:
            self.changed.wait_for(lambda: seen() or self.ended, timeout)
            assert seen(), f"no {text!r} in the log:\n{''.join(self.lines)}"

    def log(self) -> str:
        """Return the log so far."""
        with self.changed:
            return "".join(self.lines)


@contextmanager
def serve(
    *command: str, cwd: Path = ROOT, env: dict[str, str] | None = None, workers: int = 1, **settings: object
) -> Iterator[Served]:
    """Start a server, yield it when it is ready and stop it when the block ends."""
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
