"""The images of one request on their way through batches, and the two ways in which they get no answer."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.prediction import Prediction


class ClientLeft(Exception):
    """The client closed its connection; nobody waits for the answer."""


class ModelFailed(Exception):
    """The model raised on a batch; the log has its traceback."""


NO_ANSWER = Prediction([])  # in the place of one that has yet to come


@dataclass(slots=True, eq=False)
class Job:
    """The images of one request on their way through batches; await ``done``, then read ``answers``."""

    images: Sequence[NDArray[np.uint8]]
    done: asyncio.Future[None]
    client_left: Callable[[], bool]
    submitted: float  # time.perf_counter() seconds, as the two below
    started: float = 0.0
    finished: float = 0.0
    taken: int = 0  # images that have gone into a batch
    answered: int = 0
    answers: list[Prediction] = field(init=False)  # one an image, in order

    def __post_init__(self) -> None:
        self.answers = [NO_ANSWER] * len(self.images)


@dataclass(slots=True)
class Batch:
    """Images that run at once, of one job or of many."""

    buffer: NDArray[np.uint8]  # (max_batch_size, ...), its first ``count`` rows in use
    taken: float  # when they left the queue, time.perf_counter() seconds
    count: int = 0
    left_others: bool = False  # waiting for a buffer
    _slices: list[tuple[Job, int, int]] = field(default_factory=list)  # of each job, which images: from, to

    def add(self, job: Job, most: int) -> None:
        """Take the next images of a job, ``most`` at most."""
        start, end = job.taken, min(job.taken + most, len(job.images))
        for image in job.images[start:end]:
            self.buffer[self.count] = image
            self.count += 1
        if end > start:
            self._slices.append((job, start, end))
            job.taken = end

    def answer(self, answers: Sequence[Prediction], finished: float) -> None:
        """Give each job its answers; other batches with images of it may end before or after this one."""
        offset = 0
        for job, start, end in self._slices:
            count = end - start
            job.answers[start:end] = answers[offset : offset + count]
            offset += count
            job.answered += count
            job.finished = finished
            if job.answered == len(job.images) and not job.done.done():
                job.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """Let each job end without an answer."""
        for job, _, _ in self._slices:
            if not job.done.done():
                job.done.set_exception(error)
