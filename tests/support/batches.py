"""A controllable model for batcher tests, and requests to it."""

import asyncio
import threading
from contextlib import asynccontextmanager

import numpy as np

from service.prediction import Prediction

SHAPE = (2, 2)


class GatedModel:
    """Model that predicts the first pixel and blocks until its gate opens."""

    def __init__(self):
        self.batch_sizes = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, images):
        assert self.gate.wait(60)
        self.batch_sizes.append(len(images))
        if (images == 255).any():
            raise RuntimeError("boom")
        return [Prediction([float(image[0, 0])]) for image in images]


def image(value):
    return np.full(SHAPE, value, np.uint8)


def stays():
    return False


class Submitted:
    """A submitted job, and a future that ends with it."""

    def __init__(self, batcher, images, *, client_left=stays, **options):
        self.done = asyncio.get_running_loop().create_future()
        self.job = batcher.submit(images, on_done=self._end, client_left=client_left, **options)

    def _end(self, job):
        if job.error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(job.error)

    @property
    def predictions(self):
        return self.job.predictions


def submit(batcher, images, **options):
    return Submitted(batcher, images, **options)


def values(job):
    return [prediction.probabilities[0] for prediction in job.predictions]


async def one_running(batcher, model, value=0):
    """Submit a request that runs until the model's gate opens."""
    model.gate.clear()
    job = submit(batcher, [image(value)])
    await asyncio.sleep(0)
    return job


@asynccontextmanager
async def one_waiting(batcher, model):
    """Keep one request running and another waiting until the block ends."""
    jobs = [await one_running(batcher, model)]
    jobs.append(submit(batcher, [image(1)]))
    yield
    model.gate.set()
    await asyncio.gather(*(job.done for job in jobs))
