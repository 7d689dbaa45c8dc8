"""Natural batching: while batches run, arrivals queue; when one ends, what is queued goes.

No timer makes a lone request wait, and under load the batches grow by themselves; a large request shares each batch
with the others that wait. One batcher a model, on the event loop; the model runs on threads, each with a batch of its
own, or inline where a batch costs less than the hop to a thread.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.batching.admission import Admission
from service.batching.job import Batch, ClientLeft, Job, ModelFailed
from service.batching.service_time import ServiceTimeEstimator
from service.metrics import ModelMetrics
from service.prediction import Prediction

SHORT_QUEUE = 2  # batches of each stream: the next, and one more for requests that come in gusts

logger = logging.getLogger("classifier")

_Outcome = tuple[Sequence[Prediction] | Exception, float]  # an answer an image, seconds of the run
Run = Callable[[NDArray[np.uint8]], Sequence[Prediction]]  # (N, ...) images -> N answers


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
        concurrency: int,
        metrics: ModelMetrics,
    ) -> None:
        """Arrange for ``concurrency`` batches at once, each on a thread; for one on the event loop if that is 0."""
        self._run = run
        self._metrics = metrics
        self._queue: deque[Job] = deque()
        self._waiting = 0  # images in the queue
        self.max_batch_size = max_batch_size
        at_once = max(1, concurrency)
        self._service_time = ServiceTimeEstimator(seconds_per_image, max_batch_size=max_batch_size, concurrency=at_once)
        self._admission = Admission(
            self._service_time,
            max_queue=max_queue,
            short_queue=SHORT_QUEUE * at_once * max_batch_size,
            max_wait_s=max_wait_s,
        )
        self._free = [np.empty((max_batch_size, *image_shape), np.uint8) for _ in range(at_once)]  # buffers
        self._collecting = False  # what this turn of the loop brings will be taken in the next
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="inference") if concurrency else None

    def check_room(self, count: int = 1) -> None:
        """Refuse early what ``submit`` would refuse after the work of decoding.

        Raises:
            BodyTooLarge, Overloaded: see Admission.check.
        """
        self._admission.check(count, requests=len(self._queue), images=self._waiting, is_new=True)

    def expect(self, loop: asyncio.AbstractEventLoop) -> str | None:
        """Keep room for a request whose head was read; return why there is none, if so."""
        return self._admission.expect(loop, requests=len(self._queue))

    def submit(self, images: Sequence[NDArray[np.uint8]], *, client_left: Callable[[], bool]) -> Job:
        """Queue the images of one request, all or none; must be called on the event loop.

        Raises:
            BodyTooLarge, Overloaded: see Admission.check; a queue that is kept short still takes it.
        """
        self._admission.check(len(images), requests=len(self._queue), images=self._waiting, is_new=False)
        loop = asyncio.get_running_loop()
        job = Job(images, loop.create_future(), client_left, time.perf_counter())
        self._queue.append(job)
        self._waiting += len(images)
        if self._free:
            self._collect_soon(loop)
        else:
            self._metrics.queue_length.set(self._waiting)
        return job

    def close(self) -> None:
        """Let the running batches end and give their threads back."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)

    def _collect_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Collect after the requests that are being read in this turn of the loop."""
        if not self._collecting:
            self._collecting = True
            loop.call_soon(self._collect, loop)

    def _collect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let as many batches begin as may, and answer the inline one."""
        self._collecting = False
        while self._free and (batch := self._take()):
            if self._threads is None:
                self._answer(batch, self._timed(batch))
                if self._queue:
                    self._collect_soon(loop)
                return
            running = loop.run_in_executor(self._threads, self._timed, batch)
            running.add_done_callback(partial(self._ran, loop, batch))

    def _ran(self, loop: asyncio.AbstractEventLoop, batch: Batch, done: asyncio.Future[_Outcome]) -> None:
        self._answer(batch, done.result())
        self._collect(loop)

    def _take(self) -> Batch | None:
        """Move images into a free buffer, of each request its share and then what fits; None if nobody waits.

        Whoever has left is found in front of the queue alone: behind a full batch nobody is looked at.
        """
        room = min(self.max_batch_size, -(-self._waiting // len(self._free)))  # the other free buffers get their share
        share = max(1, room // (len(self._queue) or 1))
        batch, unfinished = Batch(self._free[-1], time.perf_counter()), list[Job]()
        while self._queue and batch.count < room:
            job = self._queue.popleft()
            if self._is_dropped(job):
                self._waiting -= len(job.images) - job.taken
                continue
            if not job.taken:
                job.started = batch.taken
                self._metrics.queue_seconds.observe(batch.taken - job.submitted)
            batch.add(job, min(share, room - batch.count))
            if job.taken < len(job.images):
                unfinished.append(job)
        for job in unfinished:
            batch.add(job, room - batch.count)
        self._queue.extendleft(job for job in reversed(unfinished) if job.taken < len(job.images))
        self._waiting -= batch.count
        self._metrics.queue_length.set(self._waiting)
        if not batch.count:
            self._service_time.reset()
            return None
        self._free.pop()
        self._service_time.on_batch_start(batch, others_wait=bool(self._queue) and not self._free)
        return batch

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

    def _timed(self, batch: Batch) -> _Outcome:
        started = time.perf_counter()
        try:
            answers: Sequence[Prediction] | Exception = self._run(batch.buffer[: batch.count])
        except Exception as error:  # whatever the runtime raises is the service's own fault
            logger.exception("a batch of %d images failed", batch.count)
            answers = error
        return answers, time.perf_counter() - started

    def _answer(self, batch: Batch, outcome: _Outcome) -> None:
        """Give the jobs of a batch what came of it, and its buffer back."""
        (answers, seconds), finished = outcome, time.perf_counter()
        self._free.append(batch.buffer)
        self._metrics.inference_seconds.observe(seconds)
        self._metrics.batch_size.observe(batch.count)
        if isinstance(answers, Exception):
            batch.fail(ModelFailed("the model failed on its batch"))
            self._service_time.reset()
            return
        batch.answer(answers, finished)
        self._metrics.images.inc(batch.count)
        self._service_time.on_batch_done(batch, finished)
