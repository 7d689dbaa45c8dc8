"""Threads that decode images, with admission, and cheap images first."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from service.problems import RETRY_AFTER_S, Overloaded

CHEAP_S = 0.15  # expected seconds of a cheap image; a JPEG of 12 megapixels takes 0.1 s
_STUCK_THREADS = 4  # per thread, that may still decode after the deadline of their request
_SMOOTHING = 0.1  # weight of the newest image in the estimate of this machine's speed

T = TypeVar("T")


@dataclass(slots=True, order=True)
class _Job:
    """A function that waits for a thread or runs on one."""

    expected_s: float  # on the machine of the published measurements
    number: int  # in order of arrival
    function: Callable[[], Any] = field(compare=False)
    done: asyncio.Future[Any] = field(compare=False)
    is_reserved: bool = field(default=False, compare=False)  # runs on the thread for cheap images
    started: float = field(default=0.0, compare=False)
    deadline: asyncio.TimerHandle | None = field(default=None, compare=False)


class DecodeQueue:
    """Runs functions on threads, the cheapest first; use it on the event loop.

    One more thread serves cheap images only, so that they do not wait until a costly one is decoded. A costly image
    waits behind all cheaper ones, and its request is refused if that is expected to take too long. A thread cannot be
    interrupted: while a function runs past the deadline, another thread takes its place.
    """

    def __init__(
        self, threads: int, *, max_wait_s: float, deadline_s: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Create the queue; threads start when they are needed.

        Args:
            threads: functions at once, besides the cheap one.
            max_wait_s: a request with a longer expected wait is refused.
            deadline_s: a function that runs longer no longer occupies its thread.
            clock: returns monotonic seconds.
        """
        self.num_threads = threads
        self._max_wait_s, self._deadline_s, self._clock = max_wait_s, deadline_s, clock
        self._pool = ThreadPoolExecutor((1 + _STUCK_THREADS) * (threads + 1), thread_name_prefix="decode")
        self._max_stuck = _STUCK_THREADS * (threads + 1)
        self._stuck = 0
        self._waiting: list[_Job] = []  # a heap
        self._running: list[_Job] = []
        self._numbers = itertools.count()
        self._slowness = 1.0  # measured seconds per expected second

    async def run(self, function: Callable[[], T], *, expected_s: float, is_new: bool = True) -> T:
        """Run a function on a thread and return its result.

        Args:
            function: decodes an image.
            expected_s: seconds that it is expected to take.
            is_new: whether the request has cost no work yet; only then it may be refused.

        Raises:
            Overloaded: the expected wait is too long.
        """
        if is_new:
            self._check(expected_s)
        loop = asyncio.get_running_loop()
        job = _Job(expected_s, next(self._numbers), function, loop.create_future())
        heapq.heappush(self._waiting, job)
        self._start(loop)
        try:
            result: T = await job.done
        finally:
            del job  # an exception would form a reference cycle with this frame
        return result

    def close(self) -> None:
        """Drop what waits; running functions end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, expected_s: float) -> None:
        wait_s = self._expected_wait_s(expected_s)
        if wait_s > self._max_wait_s:
            limit = f"limit {self._max_wait_s * 1e3:.0f} ms"
            raise Overloaded(
                f"expected wait {wait_s * 1e3:.0f} ms until the image is decoded ({limit}); "
                f"retry after {RETRY_AFTER_S} s"
            )

    def _expected_wait_s(self, expected_s: float) -> float:
        """Return the expected wait of a new job behind the cheaper ones and those that run."""
        is_cheap = expected_s <= CHEAP_S
        threads = self.num_threads + is_cheap
        running = [job for job in self._running if is_cheap or not job.is_reserved]
        if len(running) < threads:
            return 0.0
        now = self._clock()
        ahead = sum(job.expected_s for job in self._waiting if job.expected_s <= expected_s and not job.done.done())
        remaining = sum(max(0.0, job.expected_s - (now - job.started) / self._slowness) for job in running)
        return self._slowness * (ahead + remaining) / threads

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the cheapest jobs for which a thread is free."""
        while self._waiting:
            job = self._waiting[0]
            if not job.done.done():  # its request has not ended
                reserved = sum(running.is_reserved for running in self._running)
                job.is_reserved = job.expected_s <= CHEAP_S and not reserved
                if not job.is_reserved and len(self._running) - reserved >= self.num_threads:
                    return
                job.started = self._clock()
                self._running.append(job)
                running = self._pool.submit(job.function)
                running.add_done_callback(partial(_call_soon, loop, self._on_done, job))
                job.deadline = loop.call_later(self._deadline_s, self._replace, job)
            heapq.heappop(self._waiting)

    def _on_done(self, job: _Job, outcome: Future[Any]) -> None:
        """Pass the result on, and start what waits."""
        seconds = self._clock() - job.started
        if job.deadline is not None:
            job.deadline.cancel()
        if job in self._running:
            self._running.remove(job)
        else:
            self._stuck -= 1
        self._slowness += _SMOOTHING * (seconds / max(job.expected_s, 1e-3) - self._slowness)
        if not job.done.done():
            if (error := outcome.exception()) is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(outcome.result())
        self._start(job.done.get_loop())

    def _replace(self, job: _Job) -> None:
        """Free the place of a job that runs past its deadline."""
        if job in self._running and self._stuck < self._max_stuck:
            self._running.remove(job)
            self._stuck += 1
            self._start(job.done.get_loop())


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], job: _Job, outcome: Future[Any]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback, job, outcome)
