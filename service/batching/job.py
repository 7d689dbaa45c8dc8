"""A request's images in the queue, a batch of images, and the errors of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.prediction import Prediction


class ClientLeft(Exception):
    """The client closed its connection before the response."""


class ModelFailed(Exception):
    """The model raised an exception on a batch; the log has its traceback."""


class DeadlinePassed(Exception):
    """The deadline of the request passed before its images ran."""


PENDING = Prediction([])  # placeholder until the prediction is there


@dataclass(slots=True, eq=False)
class Job:
    """The images of one request; at the end ``on_done`` is called with the job, which has predictions or an error."""

    images: Sequence[NDArray[np.uint8]]
    on_done: Callable[["Job"], None]
    client_left: Callable[[], bool]
    submitted: float  # seconds of the batcher's clock, like deadline, started and finished
    deadline: float
    started: float = 0.0
    finished: float = 0.0
    taken: int = 0  # images in a batch so far
    predicted: int = 0  # images with a prediction
    predictions: list[Prediction] = field(init=False)  # one per image, in order
    error: Exception | None = None
    is_done: bool = False
    is_abandoned: bool = False

    def __post_init__(self) -> None:
        self.predictions = [PENDING] * len(self.images)

    def abandon(self) -> None:
        """Give up the job, because its deadline passed; ``on_done`` is not called."""
        if not self.is_done:
            self.is_done = self.is_abandoned = True

    def finish(self, error: Exception | None = None) -> None:
        """End the job, if it has not ended."""
        if not self.is_done:
            self.is_done, self.error = True, error
            self.on_done(self)


@dataclass(slots=True)
class Batch:
    """Images that run at once, of one job or of many."""

    buffer: NDArray[np.uint8]  # (max_batch_size, ...), its first ``count`` rows in use
    taken: float  # when the images left the queue, seconds of the batcher's clock
    count: int = 0
    left_others: bool = False  # whether requests were waiting for a buffer
    _slices: list[tuple[Job, int, int]] = field(default_factory=list)  # job, first image, end

    def add(self, job: Job, most: int) -> None:
        """Add the next images of a job, at most ``most``."""
        start, end = job.taken, min(job.taken + most, len(job.images))
        for image in job.images[start:end]:
            self.buffer[self.count] = image
            self.count += 1
        if end > start:
            self._slices.append((job, start, end))
            job.taken = end

    def resolve(self, predictions: Sequence[Prediction], finished: float) -> None:
        """Store the predictions in the jobs; a job is done when all of its batches are."""
        offset = 0
        for job, start, end in self._slices:
            count = end - start
            job.predictions[start:end] = predictions[offset : offset + count]
            offset += count
            job.predicted += count
            job.finished = finished
            if job.predicted == len(job.images):
                job.finish()

    def fail(self, error: Exception) -> None:
        """End each job with an error."""
        for job, _, _ in self._slices:
            job.finish(error)
