"""Whether a model has room for one more request: by those that wait, by their images, and by how long it would take."""

import asyncio

from service.pace import Pace
from service.problems import BodyTooLarge, Overloaded


class Admission:
    """Admits requests to the queue of one model, on the event loop."""

    def __init__(self, pace: Pace, *, max_queue: int, max_wait_s: float) -> None:
        """Bound the queue to so many requests, and to so many images of large ones, and the wait to seconds."""
        self._pace = pace
        self._max_queue = max_queue
        self._max_wait_s = max_wait_s
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
        if ahead >= self._max_queue:
            return f"{ahead} requests are waiting, the most that may; try again later"
        wait_s = ahead * self._pace.seconds_per_image  # of each request, one image goes first
        if wait_s > self._max_wait_s:
            wait = f"{ahead} requests are waiting, for about {wait_s * 1e3:.0f} ms"
            return f"{wait}, at most {self._max_wait_s * 1e3:.0f} ms may be; try again later"
        return None
