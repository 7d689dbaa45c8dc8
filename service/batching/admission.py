"""Admission to a model's queue, by queue length and expected wait."""

import asyncio
import math
from collections.abc import Callable

from service.batching.service_time import ServiceTimeEstimator
from service.problems import RETRY_AFTER_S, BodyTooLarge, Overloaded

JOINING_S = 0.05  # after the queue was full, admitted requests still join it for this long
LULL_S = 0.1  # a burst is over after this time without a refusal


class Admission:
    """Admits requests to the queue of one model, on the event loop.

    A queue absorbs bursts. Under sustained overload a long queue only adds waiting time, and images that wait long are
    no longer in the processor's caches and cost more. So a queue that was full is kept short while requests are refused
    (after Maurer 2015, "Fail at Scale"), for at most RETRY_AFTER_S: clients that retry at once would only be refused
    more often.
    """

    def __init__(
        self,
        service_time: ServiceTimeEstimator,
        *,
        max_queue: int,
        short_queue: int,
        max_wait_s: float,
        clock: Callable[[], float],
    ) -> None:
        """Set the limits of the queue.

        Args:
            service_time: estimates the wait.
            max_queue: requests, and images for requests with several.
            short_queue: requests, while the queue is kept short.
            max_wait_s: a request with a longer expected wait is refused.
            clock: returns monotonic seconds.
        """
        self._clock = clock
        self._service_time = service_time
        self._max_queue = max_queue
        self._short_queue = min(short_queue, max_queue)
        self._max_wait_s = max_wait_s
        self._full_at = self._refused_at = -math.inf  # seconds of the clock
        self._arriving = 0  # requests whose headers were parsed in this event-loop iteration
        self._has_iteration = False  # a reset for the next iteration is scheduled
        self._why_refused: str | None = None  # in this iteration, in which the queue cannot become shorter

    def check(self, count: int, *, requests: int, images: int, is_new: bool) -> None:
        """Check whether a request fits into the queue.

        Args:
            count: images of the request.
            requests: queued requests.
            images: queued images.
            is_new: whether the request has cost no work yet; only then a shortened queue refuses it.

        Raises:
            BodyTooLarge: the request has more images than an empty queue takes.
            Overloaded: the queue has too many requests or images, or the expected wait is too long.
        """
        if count > self._max_queue:
            raise BodyTooLarge(
                f"the request has {count} images, the queue takes at most {self._max_queue}; send fewer images"
            )
        if count > 1 and images + count > self._max_queue:  # a single image is admitted next to large requests
            raise Overloaded(
                f"queue full: {images} images waiting (limit {self._max_queue}); retry after {RETRY_AFTER_S} s"
            )
        why = self._why_refuse(requests) if is_new else self._why_full(requests)
        if why is not None:
            raise Overloaded(why)

    def expect(self, loop: asyncio.AbstractEventLoop, *, requests: int, reserve: bool) -> str | None:
        """Return why a request whose headers were parsed is refused, or None.

        An exception would keep the frames that it passed alive until the garbage collector runs.

        Args:
            loop: the running event loop.
            requests: queued requests.
            reserve: whether to reserve room until the next event-loop iteration, because the request is queued later.
        """
        if self._why_refused is None:
            self._why_refused = self._why_refuse(requests + self._arriving)
            if (self._why_refused is not None or reserve) and not self._has_iteration:
                self._has_iteration = True
                loop.call_soon(self._reset_iteration)
            if self._why_refused is None and reserve:
                self._arriving += 1
        return self._why_refused

    def _reset_iteration(self) -> None:
        self._arriving, self._why_refused, self._has_iteration = 0, None, False

    def _why_refuse(self, ahead: int) -> str | None:
        """Return (and record) why a request behind ``ahead`` others is refused."""
        now, why = self._clock(), self._why_full(ahead)
        if why is not None and now - self._full_at >= RETRY_AFTER_S:
            self._full_at = now
        is_short = JOINING_S <= now - self._full_at < RETRY_AFTER_S and now - self._refused_at < LULL_S
        if why is None and is_short and ahead >= self._short_queue:
            why = _queue_full(ahead, self._short_queue)
        if why is not None:
            self._refused_at = now
        return why

    def _why_full(self, ahead: int) -> str | None:
        """Return why the queue is full for a request behind ``ahead`` others."""
        if ahead >= self._max_queue:
            return _queue_full(ahead, self._max_queue)
        wait_s = ahead * self._service_time.seconds_per_image  # each request has at least one image
        if wait_s > self._max_wait_s:
            wait = (
                f"expected wait {wait_s * 1e3:.0f} ms behind {ahead} requests (limit {self._max_wait_s * 1e3:.0f} ms)"
            )
            return f"{wait}; retry after {RETRY_AFTER_S} s"
        return None


def _queue_full(requests: int, limit: int) -> str:
    return f"queue full: {requests} requests waiting (limit {limit}); retry after {RETRY_AFTER_S} s"
