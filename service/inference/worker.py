"""State of a worker process: models, readiness and requests in flight."""

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

from service.inference.decode_queue import DecodeQueue
from service.inference.repository import ModelRepository
from service.inference.upload_budget import UploadBudget
from service.metrics_buffer import BUFFER
from service.problems import Draining, NotReady
from service.runtime.hardware import cores_per_worker
from service.settings import Settings

DECODE_WAIT = 0.25  # of the deadline; an image that is expected to wait longer for a thread gets 503
GARBAGE_OBJECTS = 50_000  # new container objects between garbage collections

logger = logging.getLogger("classifier")


class Worker:
    """The state that all routes of a process share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state: Literal["starting", "ready", "draining", "failed"] = "starting"
        self.num_decoders = cores_per_worker(settings)  # each may hold a large image
        self.decoders = DecodeQueue(
            self.num_decoders,
            max_wait_s=DECODE_WAIT * settings.deadline_ms / 1000,
            deadline_s=settings.deadline_ms / 1000,
        )
        self.budget = UploadBudget(4 * settings.max_batch_body_bytes)
        self._models: ModelRepository | None = None
        self._loading: Future[ModelRepository]
        self._starting: asyncio.Task[None] | None = None
        self.in_flight = 0  # requests
        self._idle = asyncio.Event()

    @property
    def models(self) -> ModelRepository:
        """The loaded models.

        Raises:
            NotReady: the models are not loaded yet.
        """
        if self._models is None:
            why = "its models could not be loaded; see the log" if self.state == "failed" else "its models are loading"
            raise NotReady(f"the service is not ready: {why}")
        return self._models

    def begin_loading(self, load: Callable[[], ModelRepository]) -> None:
        """Call ``load`` on a thread; no event loop is needed yet."""
        loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._loading = loader.submit(load)
        loader.shutdown(wait=False)

    def start(self) -> None:
        """Become ready when the models are loaded, without blocking the event loop."""
        self._starting = asyncio.get_running_loop().create_task(self.become_ready())
        self._starting.add_done_callback(_tune_garbage_collection)

    async def become_ready(self) -> None:
        """Wait for the models that ``begin_loading`` loads."""
        try:
            models = await asyncio.wrap_future(self._loading)
        except Exception:
            self.state = "failed"  # /livez fails, so that the process is restarted
            logger.exception("the models could not be loaded")
            return
        self._models = models
        self.state = "ready"
        logger.info("ready: serving %s", ", ".join(map(str, models)))

    @contextmanager
    def admitted(self, *, again: bool = False) -> Iterator[ModelRepository]:
        """Count a request as in flight, from its admission to its response.

        Args:
            again: whether the request was admitted before, so that it is not refused while the worker drains.

        Raises:
            NotReady: the models are not loaded yet.
            Draining: the worker is stopping.
        """
        if self.state == "draining" and not again:
            raise Draining("this worker is stopping; send the request again to reach another one")
        models = self.models
        self.begin_request()
        try:
            yield models
        finally:
            self.end_request()

    def begin_request(self) -> None:
        """Count a request as in flight."""
        self.in_flight += 1

    def end_request(self) -> None:
        """Count a request as finished."""
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    async def drain(self) -> None:
        """Refuse new requests and wait up to CLASSIFIER_DRAIN_MS for those in flight."""
        self.state = "draining"
        logger.info("draining: %d requests in flight", self.in_flight)
        while self.in_flight:
            self._idle.clear()
            try:
                await asyncio.wait_for(self._idle.wait(), self.settings.drain_ms / 1000)
            except TimeoutError:
                logger.warning("%d requests did not finish within CLASSIFIER_DRAIN_MS", self.in_flight)
                return

    def close(self) -> None:
        """Stop the threads, and publish the last metrics."""
        self.decoders.close()
        if self._models is not None:
            self._models.close()
        BUFFER.publish()


def _tune_garbage_collection(_starting: asyncio.Task[None]) -> None:
    """Exclude all loaded objects from garbage collection, and collect less often.

    A request leaves no reference cycles. Python's default, a collection per 700 new objects, took a tenth of the time
    with 256 clients.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
