"""One worker process: starting, ready, draining or failed, the models it holds and the work in flight."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal

from service.inference.repository import ModelRepository, load_repository
from service.inference.upload_budget import UploadBudget
from service.problems import Draining, NotReady
from service.runtime.hardware import cores_per_worker
from service.runtime.planning import ServingPlans, make_plans
from service.settings import Settings

GARBAGE_OBJECTS = 50_000  # more than before, of those that may be in cycles, before cycles are looked for

logger = logging.getLogger("classifier")


class Worker:
    """The state that the routes of one process share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state: Literal["starting", "ready", "draining", "failed"] = "starting"
        self.num_decoders = cores_per_worker(settings)  # each may hold a large picture
        self.decoders = ThreadPoolExecutor(self.num_decoders, thread_name_prefix="decode")
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
            NotReady: they are not loaded yet.
        """
        if self._models is None:
            why = "its models could not be loaded; see the log" if self.state == "failed" else "its models are loading"
            raise NotReady(f"the service is not ready: {why}")
        return self._models

    def begin_loading(self, plans: ServingPlans | None = None, *, gpu: int = 0) -> None:
        """Load, check and warm up every model on a thread, which needs no event loop yet.

        Args:
            plans: of the models; made here if nobody has made them for all workers.
            gpu: index of the one to use, where one is used.
        """

        def load() -> ModelRepository:
            settings = self.settings
            chosen = make_plans(settings, threads=cores_per_worker(settings)) if plans is None else plans
            return load_repository(chosen, settings, gpu=gpu)

        loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._loading = loader.submit(load)
        loader.shutdown(wait=False)

    def start(self) -> None:
        """Become ready once the models are loaded; the event loop goes on meanwhile."""
        self._starting = asyncio.get_running_loop().create_task(self.become_ready())
        self._starting.add_done_callback(_freeze_garbage)

    async def become_ready(self) -> None:
        """Wait for the models that ``begin_loading`` loads."""
        try:
            models = await asyncio.wrap_future(self._loading)
        except Exception:
            self.state = "failed"  # liveness says so, and whoever runs the process restarts it
            logger.exception("the models could not be loaded")
            return
        self._models = models
        self.state = "ready"
        logger.info("ready: serving %s", ", ".join(map(str, models)))

    @contextmanager
    def admitted(self) -> Iterator[ModelRepository]:
        """Count a request as in flight, from the first byte of its body to its answer.

        Raises:
            NotReady: the models are not loaded yet.
            Draining: the worker is about to stop.
        """
        if self.state == "draining":
            raise Draining("the service is stopping; send the request again, another instance will answer")
        models = self.models
        self.in_flight += 1
        try:
            yield models
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def drain(self) -> None:
        """Refuse new requests, and wait until those in flight are answered or the time for it is over."""
        self.state = "draining"
        logger.info("draining: %d requests in flight", self.in_flight)
        while self.in_flight:
            self._idle.clear()
            try:
                await asyncio.wait_for(self._idle.wait(), self.settings.drain_ms / 1000)
            except TimeoutError:
                logger.warning("%d requests were not answered within CLASSIFIER_DRAIN_MS", self.in_flight)
                return

    def close(self) -> None:
        """Give the threads back."""
        self.decoders.shutdown(wait=False, cancel_futures=True)
        if self._models is not None:
            self._models.close()

    def drain_on_signals(self) -> None:
        """Put ``drain`` before what SIGTERM and SIGINT do now; a second signal does that at once."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, _Drainer(self, loop, signal.getsignal(signum)))


def _freeze_garbage(_starting: asyncio.Task[None]) -> None:
    """What is loaded by now stays: full collections need not walk it again.

    A request leaves no cycles behind, only its own objects while it lasts: looking for cycles each 700 more of them, as
    Python does, took a tenth of the time with 256 clients.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)


class _Drainer:
    """A signal handler that drains first; Ctrl-C reaches a worker twice, as SIGINT and as its supervisor's SIGTERM."""

    def __init__(self, worker: Worker, loop: asyncio.AbstractEventLoop, then: Callable[..., Any] | int | None) -> None:
        self._worker, self._loop, self._then = worker, loop, then
        self._signalled = False
        self._task: asyncio.Task[None] | None = None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self._signalled:
            self._stop(signum, frame)
        else:
            self._signalled = True
            self._loop.call_soon_threadsafe(self._start, signum)

    def _start(self, signum: int) -> None:
        self._task = self._loop.create_task(self._worker.drain())
        self._task.add_done_callback(lambda _: self._stop(signum, None))

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if callable(self._then):
            self._then(signum, frame)
