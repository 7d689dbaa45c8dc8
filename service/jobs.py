"""The images of one request on their way through batches, and the two ways in which they may get no answer."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.classifier import Answer


class ClientLeft(Exception):
    """The client closed its connection; nobody waits for the answer."""


class ModelFailed(Exception):
    """The model raised on a batch; the log has its traceback."""


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
    answers: list[Answer] = field(default_factory=list)  # one an image, in order


@dataclass(slots=True, frozen=True)
class Slice:
    """Part of a job that is in the batch under way."""

    job: Job
    count: int
