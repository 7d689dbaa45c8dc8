"""Whether a model has room for one more request: by those that wait, by their images, and by how long it would take."""

import asyncio
import time

from service.pace import Pace
from service.problems import RETRY_AFTER_S, BodyTooLarge, Overloaded


class Admission:
    """Admits requests to the queue of one model, on the event loop.

    A queue takes up bursts. When more comes than can be answered it only makes everybody wait, and those who wait long
    have left the processor's caches, so that they cost more. Once it was full it is therefore kept short, which bounds
    a standing queue as controlled delay does (Nichols and Jacobson 2012), and may fill again when those who were
    refused come back.
    """

    def __init__(self, pace: Pace, *, max_queue: int, short_queue: int, max_wait_s: float) -> None:
        """Bound the queue.

        Args:
            pace: how long each that waits will take.
            max_queue: requests, and images of large ones.
            short_queue: requests, for RETRY_AFTER_S after the queue was full.
            max_wait_s: a request that would wait longer finds the queue full.
        """
        self._pace = pace
        self._max_queue = max_queue
        self._short_queue = min(short_queue, max_queue)
        self._max_wait_s = max_wait_s
        self._short_until = 0.0  # time.monotonic()
        self._arriving = 0  # requests whose heads were read in this turn of the loop
        self._why_refused: str | None = None  # in this turn, in which the queue gets no shorter

    def check(self, count: int, *, requests: int, images: int) -> None:
        """Refuse ``count`` images of one request that would not fit into a queue of requests with images.

        Raises:
            BodyTooLarge: they would not even fit into an empty queue.
            Overloaded: the queue holds as many requests as it may, or as many images for ``count`` more of one
                request to fit; or they would wait too long for their turn.
        """
        if count > self._max_queue:
            raise BodyTooLarge(f"the batch has {count} images, expected at most {self._max_queue}, the queue's length")
        if count > 1 and images + count > self._max_queue:  # a single image finds room beside large requests
            raise Overloaded(f"{images} images are waiting, at most {self._max_queue} may; try again later")
        if (why := self._why_full(requests)) is not None:
            raise Overloaded(why)

    def expect(self, loop: asyncio.AbstractEventLoop, *, requests: int) -> str | None:
        """Keep room for a request whose head was read until the loop turns, when it has mostly queued.

        Return why there is none, if so: raised, an error would hold the frames between, and they it, for the garbage
        collector.
        """
        if self._why_refused is None:
            if not self._arriving:
                loop.call_soon(self._turned)
            self._why_refused = self._why_full(requests + self._arriving)
            if self._why_refused is None:
                self._arriving += 1
        return self._why_refused

    def _turned(self) -> None:
        self._arriving, self._why_refused = 0, None

    def _why_full(self, ahead: int) -> str | None:
        """Return why one more request is too many behind so many; None if it is not."""
        now = time.monotonic()
        most = self._short_queue if now < self._short_until else self._max_queue
        wait_s = ahead * self._pace.seconds_per_image  # of each request, one image goes first
        if ahead < most and wait_s <= self._max_wait_s:
            return None
        if now >= self._short_until:
            self._short_until = now + RETRY_AFTER_S
        if ahead >= most:
            return f"{ahead} requests are waiting, the most that may; try again later"
        wait = f"{ahead} requests are waiting, for about {wait_s * 1e3:.0f} ms"
        return f"{wait}, at most {self._max_wait_s * 1e3:.0f} ms may be; try again later"
