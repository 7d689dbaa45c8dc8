"""Classification of the images of one request: decode, prepare, run, render."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preparation.second_look import choose_framing, reduce_picture
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
SECOND_LOOK_S = 0.01  # expected for the other framings of a picture
COSTLY_S = 0.2  # a picture that is expected to take longer is kept for a second look, reduced; others are decoded again
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


class PreparedImage(NamedTuple):
    """The pixels that the model takes, and what a second look at the picture needs."""

    pixels: Pixels
    is_unchanged: bool = False  # the picture has these pixels already, so there is no other framing
    picture: Image.Image | None = None  # reduced, if the file is costly to decode again


class FirstResult(NamedTuple):
    """The result for the usual framing of a picture that needs a second look."""

    image: PreparedImage
    prediction: Prediction
    timing: Timing


@dataclass(slots=True, frozen=True)
class Classification:
    """The classification of one request by one model."""

    worker: Worker
    model: ServedModel
    client_left: Callable[[], bool]
    timing: Timing
    options: ClassifyOptions = DEFAULT_OPTIONS

    async def classify_image(self, content: bytes, first: FirstResult | None = None) -> bytes:
        """Classify one encoded image and render the response.

        Args:
            content: the image file.
            first: the result for its usual framing, if it has been classified before.

        Raises:
            Problem: the image is invalid, or the service cannot classify it now.
        """
        if first is None:
            started = time.perf_counter()
            image = await _settle(self._prepare(content))
            self.record_decoding(started)
            (whole,) = await self.run([image.pixels])
        else:
            image, whole, _ = first
        pixels = image.pixels
        if needs_second_look(image, whole, self.model):
            pixels, whole = await self._classify_other_framings(content, image, whole)
        count_unfamiliar(self.model, [whole])
        prediction = self.model.renderer.to_dict(whole, self.options.top)
        if self.options.explain:
            prediction["saliency"] = draw_saliency(pixels, whole, await self._run_parts(cover(pixels)))
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
        results = await self.run([image.pixels for image in valid]) if valid else []
        sources = [content for content, image in zip(contents, images, strict=True) if not isinstance(image, dict)]
        results = await self._classify_all_other_framings(sources, valid, results)
        count_unfamiliar(self.model, results)
        remaining = iter(results)
        predict = self.model.renderer.to_dict
        predictions = [
            image if isinstance(image, dict) else predict(next(remaining), self.options.top) for image in images
        ]
        return self.model.renderer.render_batch(predictions)

    async def _decode_all(self, contents: Sequence[bytes]) -> list[PreparedImage | ProblemBody]:
        """Decode the images of a batch, at most one per decode thread at once."""
        # problems as JSON: exceptions in the list would keep this frame alive
        outcomes: list[PreparedImage | asyncio.Future[PreparedImage] | ProblemBody] = []
        waiting: set[asyncio.Future[PreparedImage]] = set()
        has_waited, turn = False, time.perf_counter()
        try:
            for content in contents:
                try:
                    outcomes.append(self._prepare(content, is_new=not has_waited))
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

    def _prepare(self, content: bytes, *, is_new: bool = True) -> PreparedImage | asyncio.Future[PreparedImage]:
        """Decode and prepare a small image now, a large or costly one on a thread.

        ``is_new``: whether the request is refused if the image is expected to wait too long.
        """
        settings = self.worker.settings
        check_size(content, settings.max_body_bytes)
        if (image := decode_small(content, self.model, settings)) is not None:
            return image
        return asyncio.ensure_future(self._prepare_on_thread(content, is_new=is_new))

    async def _prepare_on_thread(self, content: bytes, *, is_new: bool) -> PreparedImage:
        opened = await self._open_on_thread(content, is_new=is_new)
        prepare = partial(_prepare_opened, opened, self.model)
        return await self.worker.decoders.run(prepare, expected_s=opened.expected_s, is_new=is_new)

    async def _open_on_thread(self, content: bytes, *, is_new: bool) -> OpenedImage:
        """Parse the container of an image, which is cheap and says what its pixels cost."""
        parse = partial(open_image, content, max_pixels=self.worker.settings.max_pixels)
        return await self.worker.decoders.run(parse, expected_s=OPEN_S, is_new=is_new)

    async def _classify_other_framings(
        self, content: bytes, image: PreparedImage, first: Prediction
    ) -> tuple[Pixels, Prediction]:
        """Classify an unfamiliar picture in other framings, and return the framing to use and its prediction.

        If the queue has no room for them, this is the first one.
        """
        framings, predictions = [image.pixels, *await self._frame_again(content, image)], [first]
        try:
            predictions += await self._run_parts(framings[1:]) if framings[1:] else []
        except Overloaded:
            return image.pixels, first
        chosen = choose_framing([prediction.familiarity or 0.0 for prediction in predictions])
        return framings[chosen], predictions[chosen]

    async def _frame_again(self, content: bytes, image: PreparedImage) -> Sequence[Pixels]:
        """Return the other framings of a picture, which is decoded again unless it was kept."""
        assert self.model.other_framings is not None
        run = self.worker.decoders.run
        if image.picture is not None:
            frame = partial(self.model.other_framings, image.picture, image.pixels)
            return await run(frame, expected_s=SECOND_LOOK_S, is_new=False)
        opened = await self._open_on_thread(content, is_new=False)
        frame = partial(_decode_and_frame, opened, self.model, image.pixels)
        return await run(frame, expected_s=opened.expected_s + SECOND_LOOK_S, is_new=False)

    async def _classify_all_other_framings(
        self, contents: Sequence[bytes], images: Sequence[PreparedImage], results: Sequence[Prediction]
    ) -> list[Prediction]:
        """Return the predictions of a batch after a second look at the unfamiliar pictures, a few at a time."""
        predictions = list(results)
        unfamiliar = [
            index for index, image in enumerate(images) if needs_second_look(image, results[index], self.model)
        ]
        for start in range(0, len(unfamiliar), self.worker.num_decoders):
            indices = unfamiliar[start : start + self.worker.num_decoders]
            looks = (self._classify_other_framings(contents[index], images[index], results[index]) for index in indices)
            for index, (_, prediction) in zip(indices, await asyncio.gather(*looks), strict=True):
                predictions[index] = prediction
        return predictions

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


def decode_small(content: bytes, model: ServedModel, settings: Settings) -> PreparedImage | None:
    """Decode and prepare a small image; return None if it could block the event loop for too long.

    Raises:
        Problem: the image is invalid.
    """
    if len(content) > INLINE_BYTES:
        return None
    pixels = decode_plain_png(content, max_pixels=min(INLINE_PIXELS, settings.max_pixels))
    if pixels is not None:
        if model.is_prepared(pixels):
            return PreparedImage(pixels, is_unchanged=True)
        return PreparedImage(model.prepare(Image.fromarray(pixels)))
    image = open_image(content, max_pixels=settings.max_pixels)
    if image.expected_s > INLINE_S:
        return None
    return PreparedImage(model.prepare(decode_picture(image, draft_side=model.draft_side)))


def needs_second_look(image: PreparedImage, prediction: Prediction, model: ServedModel) -> bool:
    """Return whether an image is unfamiliar and may have other framings."""
    return prediction.is_familiar is False and model.other_framings is not None and not image.is_unchanged


def count_unfamiliar(model: ServedModel, predictions: Sequence[Prediction]) -> None:
    """Count unfamiliar images in the metrics."""
    if unfamiliar := sum(prediction.is_familiar is False for prediction in predictions):
        model.metrics.unfamiliar.inc(unfamiliar)


def _prepare_opened(image: OpenedImage, model: ServedModel) -> PreparedImage:
    picture = decode_picture(image, draft_side=model.draft_side)
    is_kept = model.other_framings is not None and image.expected_s > COSTLY_S
    return PreparedImage(model.prepare(picture), picture=reduce_picture(picture) if is_kept else None)


def _decode_and_frame(image: OpenedImage, model: ServedModel, usual: Pixels) -> Sequence[Pixels]:
    assert model.other_framings is not None
    return model.other_framings(decode_picture(image, draft_side=model.draft_side), usual)


async def _settle(outcome: PreparedImage | asyncio.Future[PreparedImage]) -> PreparedImage:
    try:
        return await outcome if isinstance(outcome, asyncio.Future) else outcome
    finally:
        del outcome  # an exception would form a reference cycle with this frame


async def _settle_or_problem(
    outcome: PreparedImage | asyncio.Future[PreparedImage] | ProblemBody,
) -> PreparedImage | ProblemBody:
    try:
        return outcome if isinstance(outcome, dict) else await _settle(outcome)
    except Overloaded:
        raise
    except Problem as problem:
        return problem.body()
    finally:
        del outcome
