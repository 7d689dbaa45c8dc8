"""Classification of the images of one request: decode, prepare, run, render."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.images.data_url import data_url
from service.images.decoder import OpenedImage, decode_picture, open_image
from service.images.guards import check_size
from service.images.png import decode_plain_png
from service.inference.occlusion import cover, draw_saliency
from service.inference.options import DEFAULT_OPTIONS, ClassifyOptions
from service.inference.repository import ServedModel
from service.inference.worker import Worker
from service.prediction import Prediction
from service.problems import Overloaded, Problem, ProblemBody
from service.settings import Settings

INLINE_BYTES = INLINE_PIXELS = 64 * 1024  # larger images are decoded on a thread, not on the event loop
OPEN_S = 0.005  # expected for the container of a large image, at most
INLINE_S = 0.002  # images that are expected to take longer too
TURN_S = 0.002  # longest decoding before the event loop handles other requests

Pixels = NDArray[np.uint8]


@dataclass(slots=True)
class Timing:
    """Seconds that one request spent in each stage."""

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
    """The classification of one request by one model."""

    worker: Worker
    model: ServedModel
    client_left: Callable[[], bool]
    timing: Timing
    options: ClassifyOptions = DEFAULT_OPTIONS

    async def classify_image(self, content: bytes) -> bytes:
        """Classify one encoded image and render the response.

        Raises:
            Problem: the image is invalid, or the service cannot classify it now.
        """
        started = time.perf_counter()
        pixels = await _settle(self._pixels(content))
        self.record_decoding(started)
        images = [pixels, *cover(pixels)] if self.options.explain else [pixels]
        whole, *covered = await self._run_parts(images)
        count_unfamiliar(self.model, [whole])
        prediction = self.model.renderer.to_dict(whole, self.options.top)
        if self.options.explain:
            prediction["saliency"] = draw_saliency(pixels, whole, covered)
        if self.options.pixels:
            prediction["pixels"] = data_url(pixels)
        return self.model.renderer.render(prediction)

    async def classify_batch(self, contents: Sequence[bytes]) -> bytes:
        """Classify encoded images and render the response.

        The response has a problem in place of each invalid image.
        """
        self.model.batcher.check_room(len(contents))
        started = time.perf_counter()
        images = await self._decode_all(contents)
        self.record_decoding(started)
        valid = [image for image in images if not isinstance(image, dict)]
        results = await self.run(valid) if valid else []
        count_unfamiliar(self.model, results)
        remaining = iter(results)
        predict = self.model.renderer.to_dict
        predictions = [
            image if isinstance(image, dict) else predict(next(remaining), self.options.top) for image in images
        ]
        return self.model.renderer.render_batch(predictions)

    async def _decode_all(self, contents: Sequence[bytes]) -> list[Pixels | ProblemBody]:
        """Decode the images of a batch, at most one per decode thread at once."""
        # problems as JSON: exceptions in the list would keep this frame alive
        outcomes: list[Pixels | asyncio.Future[Pixels] | ProblemBody] = []
        waiting: set[asyncio.Future[Pixels]] = set()
        has_waited, turn = False, time.perf_counter()
        try:
            for content in contents:
                try:
                    outcomes.append(self._pixels(content, is_new=not has_waited))
                except Problem as problem:
                    outcomes.append(problem.body())
                if isinstance(last := outcomes[-1], asyncio.Future):
                    waiting.add(last)
                    has_waited = True  # the rest of an admitted request is decoded
                if len(waiting) >= self.worker.num_decoders:
                    _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if time.perf_counter() - turn > TURN_S:
                    await asyncio.sleep(0)
                    turn = time.perf_counter()
            return [await _settle_or_problem(outcome) for outcome in outcomes]
        finally:
            for outcome in outcomes:  # those of a request that has ended
                if isinstance(outcome, asyncio.Future) and not outcome.cancel() and not outcome.cancelled():
                    outcome.exception()  # retrieved, so that it is not logged

    def _pixels(self, content: bytes, *, is_new: bool = True) -> Pixels | asyncio.Future[Pixels]:
        """Decode and prepare a small image now, a large or costly one on a thread.

        ``is_new``: whether the request is refused if the image is expected to wait too long.
        """
        settings = self.worker.settings
        check_size(content, settings.max_body_bytes)
        if (pixels := decode_small(content, self.model, settings)) is not None:
            return pixels
        return asyncio.ensure_future(self._decode_on_thread(content, is_new=is_new))

    async def _decode_on_thread(self, content: bytes, *, is_new: bool) -> Pixels:
        """Parse the container of an image, which is cheap, then decode and prepare its pixels."""
        run = self.worker.decoders.run
        parse = partial(open_image, content, max_pixels=self.worker.settings.max_pixels)
        opened = await run(parse, expected_s=OPEN_S, is_new=is_new)
        return await run(partial(_decode, self.model, opened), expected_s=opened.expected_s, is_new=is_new)

    def record_decoding(self, started: float) -> None:
        """Record the decoding time since ``started``."""
        self.timing.decode = time.perf_counter() - started
        self.model.metrics.decode_seconds.observe(self.timing.decode)

    async def run(self, images: Sequence[Pixels]) -> list[Prediction]:
        """Run prepared images in batches and record the queue and inference times."""
        job = await self.model.batcher.predict(images, client_left=self.client_left)
        self.timing.queue += job.started - job.submitted
        self.timing.inference += job.finished - job.started
        return job.predictions

    async def _run_parts(self, images: Sequence[Pixels]) -> list[Prediction]:
        """Run an image and its covered copies, in parts that fit into the queue."""
        limit = self.worker.settings.max_queue
        if len(images) <= limit:
            return await self.run(images)
        parts = [images[start : start + limit] for start in range(0, len(images), limit)]
        return [prediction for part in parts for prediction in await self.run(part)]


def decode_small(content: bytes, model: ServedModel, settings: Settings) -> Pixels | None:
    """Decode and prepare a small image; return None if it could block the event loop for too long.

    Raises:
        Problem: the image is invalid.
    """
    if len(content) > INLINE_BYTES:
        return None
    pixels = decode_plain_png(content, max_pixels=min(INLINE_PIXELS, settings.max_pixels))
    if pixels is not None:
        return pixels if model.is_prepared(pixels) else model.prepare(Image.fromarray(pixels))
    image = open_image(content, max_pixels=settings.max_pixels)
    return _decode(model, image) if image.expected_s <= INLINE_S else None


def count_unfamiliar(model: ServedModel, predictions: Sequence[Prediction]) -> None:
    """Count unfamiliar images in the metrics."""
    if unfamiliar := sum(prediction.is_familiar is False for prediction in predictions):
        model.metrics.unfamiliar.inc(unfamiliar)


def _decode(model: ServedModel, image: OpenedImage) -> Pixels:
    return model.prepare(decode_picture(image, draft_side=model.draft_side))


async def _settle(outcome: Pixels | asyncio.Future[Pixels]) -> Pixels:
    try:
        return await outcome if isinstance(outcome, asyncio.Future) else outcome
    finally:
        del outcome  # an exception would form a reference cycle with this frame


async def _settle_or_problem(outcome: Pixels | asyncio.Future[Pixels] | ProblemBody) -> Pixels | ProblemBody:
    try:
        return outcome if isinstance(outcome, dict) else await _settle(outcome)
    except Overloaded:
        raise
    except Problem as problem:
        return problem.body()
    finally:
        del outcome
