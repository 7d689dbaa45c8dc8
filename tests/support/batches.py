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


def values(job):
    return [prediction.probabilities[0] for prediction in job.predictions]


async def one_running(batcher, model, value=0):
    """Submit a request that runs until the model's gate opens."""
    model.gate.clear()
    job = batcher.submit([image(value)], client_left=stays)
    await asyncio.sleep(0)
    return job


@asynccontextmanager
async def one_waiting(batcher, model):
    """Keep one request running and another waiting until the block ends."""
    jobs = [await one_running(batcher, model)]
    jobs.append(batcher.submit([image(1)], client_left=stays))
    yield
    model.gate.set()
    await asyncio.gather(*(job.done for job in jobs))
