"""Natural batching of the requests for one model.

Requests queue while batches run. When a batch ends, the queue is the next batch. No timer delays a lone request, and
batches grow under load. A large request shares each batch with other requests. Each model has one batcher on the event
loop. The model runs on threads, one batch per thread, or inline if a batch costs less than waking a thread.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.batching.admission import Admission
from service.batching.job import Batch, ClientLeft, DeadlinePassed, Job, ModelFailed
from service.batching.service_time import ServiceTimeEstimator
from service.metrics import ModelMetrics
from service.prediction import Prediction

TURN_S = 0.025  # of inline batches at the end of an iteration of the event loop; the next iteration runs the rest
AT_ONCE_S = 0.003  # of inline batches within an iteration
SHORT_QUEUE = 2  # batches per concurrent batch: the next one, and one for bursts; inline, the queue is not shortened

logger = logging.getLogger("classifier")

_Outcome = tuple[Sequence[Prediction] | Exception, float]  # one prediction per image, seconds of the run
Run = Callable[[NDArray[np.uint8]], Sequence[Prediction]]  # (N, ...) images -> N predictions


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
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Create the queue and the threads.

        Args:
            run: the model.
            image_shape: of one image.
            max_batch_size: images per batch.
            max_queue: see Admission.
            max_wait_s: see Admission.
            seconds_per_image: of a full batch, as measured at start.
            concurrency: batches at once, each on its own thread; 0 runs one batch at a time on the event loop.
            metrics: of the model.
            clock: returns monotonic seconds.
        """
        self._run = run
        self._metrics = metrics
        self._clock = clock
        self._queue: deque[Job] = deque()
        self._waiting = 0  # images in the queue
        self.max_batch_size = max_batch_size
        at_once = max(1, concurrency)
        self._service_time = ServiceTimeEstimator(seconds_per_image, max_batch_size=max_batch_size, concurrency=at_once)
        self._admission = Admission(
            self._service_time,
            max_queue=max_queue,
            short_queue=SHORT_QUEUE * concurrency * max_batch_size or max_queue,
            max_wait_s=max_wait_s,
            clock=clock,
        )
        self._free = [np.empty((max_batch_size, *image_shape), np.uint8) for _ in range(at_once)]  # buffers
        self._turn_ends = 0.0  # when full inline batches wait for the next iteration; 0: none has run in this one
        self._collecting = False  # a collection is scheduled for the next iteration of the event loop
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="inference") if concurrency else None

    @property
    def queued_requests(self) -> int:
        """The number of requests in the queue."""
        return len(self._queue)

    def check_room(self, count: int = 1) -> None:
        """Refuse a request before its images are decoded if ``submit`` would refuse it.

        Raises:
            BodyTooLarge, Overloaded: see Admission.check.
        """
        self._admission.check(count, requests=len(self._queue), images=self._waiting, is_new=True)

    def expect(self, loop: asyncio.AbstractEventLoop, *, reserve: bool = True) -> str | None:
        """Return why a request is refused, or None; see Admission.expect."""
        return self._admission.expect(loop, requests=len(self._queue), reserve=reserve)

    def submit(
        self,
        images: Sequence[NDArray[np.uint8]],
        *,
        on_done: Callable[[Job], None],
        client_left: Callable[[], bool],
        timeout_s: float = math.inf,
    ) -> Job:
        """Queue all images of one request; call it on the event loop.

        Args:
            images: prepared, of the model's shape.
            on_done: called on the event loop when the job has predictions or an error: ClientLeft, DeadlinePassed or
                ModelFailed. It must not raise an exception.
            client_left: whether the client has disconnected; then the job is dropped before it runs.
            timeout_s: after this time the job is dropped when it reaches the front of the queue.

        Raises:
            BodyTooLarge, Overloaded: see Admission.check; a shortened queue still takes the request.
        """
        self._admission.check(len(images), requests=len(self._queue), images=self._waiting, is_new=False)
        submitted = self._clock()
        job = Job(images, on_done, client_left, submitted, submitted + timeout_s)
        self._queue.append(job)
        self._waiting += len(images)
        if self._free:
            self._collect_soon()
            if self._threads is None and self._waiting >= self.max_batch_size:
                self._run_full_batch()
        else:
            self._metrics.queue_length.set(self._waiting)
        return job

    async def predict(self, images: Sequence[NDArray[np.uint8]], *, client_left: Callable[[], bool]) -> Job:
        """Queue images as ``submit`` does, and return the job when it has its predictions.

        Raises:
            ClientLeft, ModelFailed, BodyTooLarge, Overloaded: see ``submit``.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job = self.submit(images, on_done=partial(_resolve, done), client_left=client_left)
        try:
            await done
        except asyncio.CancelledError:
            job.abandon()
            raise
        return job

    def close(self) -> None:
        """Wait for the running batches and stop the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)

    def _collect_soon(self) -> None:
        """Collect after the requests that arrive in this iteration of the event loop."""
        if not self._collecting:
            self._collecting = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._collect, loop)

    def _run_full_batch(self) -> None:
        """Run a full inline batch at once, for at most AT_ONCE_S in total per iteration of the event loop.

        The images are still in the processor's caches, and the queue has room for the other requests of the iteration.
        """
        if self._turn_ends == 0.0:
            self._turn_ends = self._clock() + AT_ONCE_S
        if self._clock() < self._turn_ends and (batch := self._take()):
            self._finish(batch, self._run_timed(batch))

    def _collect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start one batch per free buffer, or run inline batches."""
        self._collecting, self._turn_ends = False, 0.0
        if self._threads is None:
            self._run_inline()
            return
        while self._free and (batch := self._take()):
            running = loop.run_in_executor(self._threads, self._run_timed, batch)
            running.add_done_callback(partial(self._on_batch_run, loop, batch))

    def _run_inline(self) -> None:
        """Run queued batches for TURN_S, at least one; the next iteration runs the rest."""
        ends = self._clock() + TURN_S
        while batch := self._take():
            self._finish(batch, self._run_timed(batch))
            if self._queue and self._clock() >= ends:
                self._collect_soon()
                break
        self._service_time.reset()  # the time until the next iteration is no service time

    def _on_batch_run(self, loop: asyncio.AbstractEventLoop, batch: Batch, done: asyncio.Future[_Outcome]) -> None:
        self._finish(batch, done.result())
        self._collect(loop)

    def _take(self) -> Batch | None:
        """Move queued images into a free buffer; return None if no request waits.

        Each request gets an equal share first; then requests fill what is left. Abandoned jobs are dropped only when
        they reach the front of the queue.
        """
        room = min(self.max_batch_size, -(-self._waiting // len(self._free)))  # leave images for the other free buffers
        share = max(1, room // (len(self._queue) or 1))
        batch, unfinished = Batch(self._free[-1], self._clock()), list[Job]()
        while self._queue and batch.count < room:
            job = self._queue.popleft()
            if self._is_dropped(job, batch.taken):
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

    def _is_dropped(self, job: Job, now: float) -> bool:
        if job.is_done:  # abandoned, or an earlier batch of it failed
            if job.is_abandoned:
                self._metrics.timed_out.inc()
            return True
        if now > job.deadline:
            self._metrics.timed_out.inc()
            job.finish(DeadlinePassed())
            return True
        if job.client_left():
            self._metrics.client_left.inc()
            job.finish(ClientLeft())
            return True
        return False

    def _run_timed(self, batch: Batch) -> _Outcome:
        started = self._clock()
        try:
            predictions: Sequence[Prediction] | Exception = self._run(batch.buffer[: batch.count])
        except Exception as error:  # the runtime may raise anything
            logger.exception("a batch of %d images failed", batch.count)
            predictions = error
        return predictions, self._clock() - started

    def _finish(self, batch: Batch, outcome: _Outcome) -> None:
        """Resolve the jobs of a batch and free its buffer."""
        (predictions, seconds), finished = outcome, self._clock()
        self._free.append(batch.buffer)
        self._metrics.inference_seconds.observe(seconds)
        self._metrics.batch_size.observe(batch.count)
        if isinstance(predictions, Exception):
            batch.fail(ModelFailed("the model failed on a batch; the log has the traceback"))
            self._service_time.reset()
            return
        batch.resolve(predictions, finished)
        self._metrics.images.inc(batch.count)
        self._service_time.on_batch_done(batch, finished)


def _resolve(done: asyncio.Future[None], job: Job) -> None:
    """Pass the outcome of a job to a coroutine that awaits ``done``."""
    if done.done():
        return
    if job.error is None:
        done.set_result(None)
    else:
        done.set_exception(job.error)
