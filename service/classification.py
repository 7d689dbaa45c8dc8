"""The work between a body and its answer: bytes to picture, picture to pixels, pixels to probabilities, to JSON."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.batching import Job
from service.decoding import open_image, read_picture
from service.problems import BodyTooLarge, Problem
from service.repository import ServedModel
from service.worker import Worker

INLINE_PIXELS = 64 * 1024  # a larger picture is decoded on a thread: it would hold up everybody else
TURN = 16  # images decoded before the event loop gets a turn

Pixels = NDArray[np.uint8]


@dataclass(slots=True)
class Timing:
    """Where the time of one request went, in seconds."""

    decode: float = 0.0
    queue: float = 0.0
    inference: float = 0.0

    def header(self) -> bytes:
        """Return the value of a Server-Timing header, in milliseconds."""
        return b"decode;dur=%.2f, queue;dur=%.2f, inference;dur=%.2f" % (
            self.decode * 1e3,
            self.queue * 1e3,
            self.inference * 1e3,
        )


@dataclass(slots=True, frozen=True)
class Classification:
    """One request's way through a model."""

    worker: Worker
    model: ServedModel
    top: int | None
    client_left: Callable[[], bool]
    timing: Timing

    async def one(self, content: bytes) -> bytes:
        """Classify one encoded image and render the answer.

        Raises:
            Problem: the image or the moment is unfit.
        """
        started = time.perf_counter()
        pixels = self._pixels(content)
        if isinstance(pixels, asyncio.Future):
            pixels = await pixels
        self._decoded(started)
        job = await self._run([pixels])
        renderer = self.model.renderer
        return renderer.one(renderer.prediction(job.rows[0][0], self.top))

    async def many(self, contents: Sequence[bytes]) -> bytes:
        """Classify encoded images in one go; an unfit one has its problem in its place."""
        started = time.perf_counter()
        outcomes: list[Pixels | asyncio.Future[Pixels] | Problem] = []
        for number, content in enumerate(contents, 1):
            try:
                outcomes.append(self._pixels(content))
            except Problem as problem:
                outcomes.append(problem)
            if number % TURN == 0:
                await asyncio.sleep(0)
        images = [await _settle(outcome) for outcome in outcomes]
        self._decoded(started)
        good = [image for image in images if not isinstance(image, Problem)]
        rows = iter(np.concatenate((await self._run(good)).rows)) if good else iter(())
        predict = self.model.renderer.prediction
        predictions = [
            json.dumps(image.body()) if isinstance(image, Problem) else "{" + predict(next(rows), self.top)
            for image in images
        ]
        return self.model.renderer.many(predictions)

    def _pixels(self, content: bytes) -> Pixels | asyncio.Future[Pixels]:
        """Decode and prepare a small picture at once, a large one on a thread."""
        settings = self.worker.settings
        if len(content) > settings.max_body_bytes:
            raise BodyTooLarge(f"the image has {len(content)} bytes, expected at most {settings.max_body_bytes}")
        picture = open_image(content, max_pixels=settings.max_pixels)
        if picture.width * picture.height <= INLINE_PIXELS:
            return self._read(picture)
        return asyncio.get_running_loop().run_in_executor(self.worker.decoders, self._read, picture)

    def _read(self, picture: Image.Image) -> Pixels:
        return self.model.prepare(read_picture(picture, draft=self.model.draft_size))

    def _decoded(self, started: float) -> None:
        self.timing.decode = time.perf_counter() - started
        self.model.metrics.decode_seconds.observe(self.timing.decode)

    async def _run(self, images: Sequence[Pixels]) -> Job:
        job = self.model.batcher.submit(images, client_left=self.client_left)
        await job.done
        self.timing.queue, self.timing.inference = job.started - job.submitted, job.finished - job.started
        return job


async def _settle(outcome: Pixels | asyncio.Future[Pixels] | Problem) -> Pixels | Problem:
    if not isinstance(outcome, asyncio.Future):
        return outcome
    try:
        return await outcome
    except Problem as problem:
        return problem
