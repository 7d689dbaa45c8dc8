"""Natural batching: while one batch runs, arrivals queue; when the device is free, everything queued goes.

No timer makes a lone request wait, and under load the batches grow by themselves; a large request shares each batch
with the others that wait. One batcher a model, on the event loop; the model runs on a thread of its own, or inline
where a batch costs less than the hop to a thread.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.classifier import Answer
from service.jobs import ClientLeft, Job, ModelFailed, Slice
from service.metrics import ModelMetrics
from service.problems import BodyTooLarge, Overloaded

logger = logging.getLogger("classifier")

_NEWEST = 0.1  # weight of the last batch in the time that an image takes
_Outcome = tuple[Sequence[Answer] | Exception, float]  # an answer an image, seconds of the run
Run = Callable[[NDArray[np.uint8]], Sequence[Answer]]  # (N, ...) images -> N answers


class Batcher:
    """Collects the images of concurrent requests into batches for one model."""

    def __init__(
        self,
        run: Run,
        *,
        image_shape: tuple[int, ...],
        max_batch_size: int,
        max_queue: int,
        max_wait_s: float,
        seconds_per_image: float,
        inline: bool,
        metrics: ModelMetrics,
    ) -> None:
        self._run = run
        self._max_queue = max_queue
        self._max_wait_s = max_wait_s
        self._seconds_per_image = seconds_per_image  # in a full batch, as planned, then of late
        self._metrics = metrics
        self._queue: list[Job] = []
        self._waiting = 0  # images in the queue
        self._taken = 0.0  # when the batch in flight left the queue
        self._busy = False  # a batch is running, or about to be collected
        self._buffer = np.empty((max_batch_size, *image_shape), np.uint8)  # one batch is in flight at a time
        self._thread = None if inline else ThreadPoolExecutor(1, thread_name_prefix="inference")

    @property
    def max_batch_size(self) -> int:
        """The most images that run at once."""
        return len(self._buffer)

    def check_room(self, count: int = 1) -> None:
        """Refuse early what ``submit`` would refuse after the work of decoding.

        Raises:
            BodyTooLarge: ``count`` images would not even fit into an empty queue.
            Overloaded: the queue holds as many requests as it may, or as many images for ``count`` more of one
                request to fit; or they would wait too long for their turn.
        """
        if count > self._max_queue:
            raise BodyTooLarge(f"the batch has {count} images, expected at most {self._max_queue}, the queue's length")
        if count > 1 and self._waiting + count > self._max_queue:  # a single image finds room beside large requests
            raise Overloaded(f"{self._waiting} images are waiting, at most {self._max_queue} may; try again later")
        if len(self._queue) >= self._max_queue:
            raise Overloaded(f"{len(self._queue)} requests are waiting, the most that may; try again later")
        if (wait_s := len(self._queue) * self._seconds_per_image) > self._max_wait_s:  # of each, one image goes first
            wait = f"{len(self._queue)} requests are waiting, for about {wait_s * 1e3:.0f} ms"
            raise Overloaded(f"{wait}, at most {self._max_wait_s * 1e3:.0f} ms may be; try again later")

    def submit(self, images: Sequence[NDArray[np.uint8]], *, client_left: Callable[[], bool]) -> Job:
        """Queue the images of one request, all or none; must be called on the event loop.

        Raises:
            BodyTooLarge, Overloaded: as check_room.
        """
        self.check_room(len(images))
        loop = asyncio.get_running_loop()
        job = Job(images, loop.create_future(), client_left, time.perf_counter())
        self._queue.append(job)
        self._waiting += len(images)
        if not self._busy:
            self._busy = True
            loop.call_soon(self._next, loop)  # after the requests that are being read in this turn of the loop
        else:
            self._metrics.queue_length.set(self._waiting)
        return job

    def close(self) -> None:
        """Let the running batch end and give its thread back."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, count = self._take()
        self._metrics.queue_length.set(self._waiting)
        if not batch:
            self._busy = False
        elif self._thread is None:
            self._answer(batch, self._timed(count))
            loop.call_soon(self._next, loop)
        else:
            running = loop.run_in_executor(self._thread, self._timed, count)
            running.add_done_callback(partial(self._ran, loop, batch))

    def _ran(self, loop: asyncio.AbstractEventLoop, batch: list[Slice], done: asyncio.Future[_Outcome]) -> None:
        self._answer(batch, done.result())
        self._next(loop)

    def _take(self) -> tuple[list[Slice], int]:
        """Move images into the buffer, of each request its share and then what fits, and drop whom nobody waits for."""
        batch: list[Slice] = []
        jobs = [job for job in self._queue if not self._is_dropped(job)]
        count, room = 0, self.max_batch_size
        now = self._taken = time.perf_counter()
        for share in (max(1, room // (len(jobs) or 1)), room):
            for job in jobs:
                if count == room:
                    break
                if images := job.images[job.taken : job.taken + min(share, room - count)]:
                    if not job.taken:
                        job.started = now
                        self._metrics.queue_seconds.observe(now - job.submitted)
                    for offset, image in enumerate(images, count):
                        self._buffer[offset] = image
                    batch.append(Slice(job, len(images)))
                    job.taken += len(images)
                    count += len(images)
        self._queue = [job for job in jobs if job.taken < len(job.images)]
        self._waiting = sum(len(job.images) - job.taken for job in self._queue)
        return batch, count

    def _is_dropped(self, job: Job) -> bool:
        if job.done.done():  # its deadline passed, or an earlier batch of it failed: its request was answered
            if job.done.cancelled():
                self._metrics.timed_out.inc()
            return True
        if job.client_left():
            self._metrics.client_left.inc()
            job.done.set_exception(ClientLeft())
            return True
        return False

    def _timed(self, count: int) -> _Outcome:
        started = time.perf_counter()
        try:
            answers: Sequence[Answer] | Exception = self._run(self._buffer[:count])
        except Exception as error:  # whatever the runtime raises is the service's own fault
            logger.exception("a batch of %d images failed", count)
            answers = error
        return answers, time.perf_counter() - started

    def _answer(self, batch: list[Slice], outcome: _Outcome) -> None:
        (answers, seconds), finished, offset = outcome, time.perf_counter(), 0
        for part in batch:
            job = part.job
            if isinstance(answers, Exception):
                if not job.done.done():
                    job.done.set_exception(ModelFailed("the model failed on its batch"))
                continue
            job.answers.extend(answers[offset : offset + part.count])
            offset += part.count
            job.finished = finished
            if job.taken == len(job.images) and not job.done.done():
                job.done.set_result(None)
        count = sum(part.count for part in batch)
        if (
            offset and count == self.max_batch_size
        ):  # a long queue waits for such: a small one's costs would say too much
            seconds_per_image = (finished - self._taken) / count  # with the ways to the thread and back
            self._seconds_per_image += (seconds_per_image - self._seconds_per_image) * _NEWEST
        self._metrics.inference_seconds.observe(seconds)
        self._metrics.batch_size.observe(count)
        self._metrics.images.inc(offset)
