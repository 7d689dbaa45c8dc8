"""Graceful shutdown: SIGTERM and SIGINT let the requests in flight finish first."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from service.inference.worker import Worker


def drain_on_signals(worker: Worker) -> None:
    """Drain ``worker`` before the current action of SIGTERM and SIGINT.

    A second signal skips draining.
    """
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _Drainer(worker, loop, signal.getsignal(signum)))


class _Drainer:
    """A signal handler that drains first.

    Ctrl-C sends a worker two signals: SIGINT, and SIGTERM from the supervisor.
    """

    def __init__(self, worker: Worker, loop: asyncio.AbstractEventLoop, then: Callable[..., Any] | int | None) -> None:
        self._worker, self._loop, self._then = worker, loop, then
        self._signalled = False
        self._task: asyncio.Task[None] | None = None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self._signalled:
            self._stop(signum, frame)
        else:
            self._signalled = True
            self._loop.call_soon_threadsafe(self._start, signum)

    def _start(self, signum: int) -> None:
        self._task = self._loop.create_task(self._worker.drain())
        self._task.add_done_callback(lambda _: self._stop(signum, None))

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if callable(self._then):
            self._then(signum, frame)
