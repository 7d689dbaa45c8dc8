"""Whether a model has room for one more request: by those that wait, by their images, and by how long it would take."""

import asyncio
import math
from time import monotonic

from service.batching.service_time import ServiceTimeEstimator
from service.problems import RETRY_AFTER_S, BodyTooLarge, Overloaded

JOINING_S = 0.05  # after the queue was full, in which requests that were given a place still join it
LULL_S = 0.1  # without a refusal, after which a burst is over


class Admission:
    """Admits requests to the queue of one model, on the event loop.

    A queue takes up bursts. Where more comes than can be answered, a long one only makes everybody wait, and those who
    wait long have left the processor's caches and cost more. So once it was full it is kept short while others are
    refused (after Maurer 2015, "Fail at Scale"), for RETRY_AFTER_S at most: clients that come back at once would only
    be refused more often.
    """

    def __init__(
        self, service_time: ServiceTimeEstimator, *, max_queue: int, short_queue: int, max_wait_s: float
    ) -> None:
        """Bound the queue.

        Args:
            service_time: how long each that waits will take.
            max_queue: requests, and images of large ones.
            short_queue: requests, while it is kept short.
            max_wait_s: a request that would wait longer finds the queue full.
        """
        self._service_time = service_time
        self._max_queue = max_queue
        self._short_queue = min(short_queue, max_queue)
        self._max_wait_s = max_wait_s
        self._full_at = self._refused_at = -math.inf  # the clock of monotonic
        self._arriving = 0  # requests whose heads were read in this turn of the loop
        self._why_refused: str | None = None  # in this turn, in which the queue gets no shorter

    def check(self, count: int, *, requests: int, images: int, is_new: bool) -> None:
        """Refuse ``count`` images of one request that would not fit into a queue of requests with images.

        Args:
            count: images.
            requests: that wait.
            images: of theirs.
            is_new: no work was spent on the request yet, so that a queue that is kept short has no room for it.

        Raises:
            BodyTooLarge: they would not even fit into an empty queue.
            Overloaded: the queue holds as many requests as it may, or as many images for ``count`` more of one
                request to fit; or they would wait too long for their turn.
        """
        if count > self._max_queue:
            raise BodyTooLarge(f"the batch has {count} images, expected at most {self._max_queue}, the queue's length")
        if count > 1 and images + count > self._max_queue:  # a single image finds room beside large requests
            raise Overloaded(f"{images} images are waiting, at most {self._max_queue} may; try again later")
        why = self._why_refuse(requests) if is_new else self._why_full(requests)
        if why is not None:
            raise Overloaded(why)

    def expect(self, loop: asyncio.AbstractEventLoop, *, requests: int) -> str | None:
        """Keep room for a request whose head was read until the loop turns, when it has mostly queued.

        Return why there is none, if so: raised, an error would hold the frames between, and they it, for the garbage
        collector.
        """
        if self._why_refused is None:
            if not self._arriving:
                loop.call_soon(self._turned)
            self._why_refused = self._why_refuse(requests + self._arriving)
            if self._why_refused is None:
                self._arriving += 1
        return self._why_refused

    def _turned(self) -> None:
        self._arriving, self._why_refused = 0, None

    def _why_refuse(self, ahead: int) -> str | None:
        """Return why a newcomer behind so many is refused, and take note of it; None if he is not."""
        now, why = monotonic(), self._why_full(ahead)
        if why is not None and now - self._full_at >= RETRY_AFTER_S:
            self._full_at = now
        is_short = JOINING_S <= now - self._full_at < RETRY_AFTER_S and now - self._refused_at < LULL_S
        if why is None and is_short and ahead >= self._short_queue:
            why = f"{ahead} requests are waiting, at most {self._short_queue} may for now; try again later"
        if why is not None:
            self._refused_at = now
        return why

    def _why_full(self, ahead: int) -> str | None:
        """Return why one more request is too many behind so many; None if it is not."""
        if ahead >= self._max_queue:
            return f"{ahead} requests are waiting, the most that may; try again later"
        wait_s = ahead * self._service_time.seconds_per_image  # of each request, one image goes first
        if wait_s > self._max_wait_s:
            wait = f"{ahead} requests are waiting, for about {wait_s * 1e3:.0f} ms"
            return f"{wait}, at most {self._max_wait_s * 1e3:.0f} ms may be; try again later"
        return None
