"""The BentoML service: configuration, start, stop, and the endpoint that BentoML's generated clients call."""

import atexit
import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import bentoml
import PIL.Image

from service.http.cors import allow_origins
from service.http.event_loop import configure_uvicorn
from service.http.middleware import InferenceMiddleware
from service.http.request import App
from service.http.routes import create_routes
from service.inference.graceful_shutdown import drain_on_signals
from service.inference.repository import load_repository
from service.inference.worker import Worker
from service.logs import configure_logging
from service.metrics import MULTIPROCESS_DIR
from service.port import check_port
from service.runtime.hardware import cores_per_worker, count_workers, gpu_index
from service.runtime.planning import PLANS, make_plans
from service.settings import METRICS_DIR, SERVING_PLANS, SettingsError, load_settings

try:
    settings = load_settings()
except SettingsError as error:
    sys.exit(f"Error: {error}")

worker = Worker(settings)


class _Classifier:
    """Class probabilities for uploaded images."""

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Check the port, the models and the device, and write the serving plans for all workers.

        Raises:
            BentoMLException: the port is in use, or a model or the device cannot serve.
        """
        configure_logging(settings.log_format)
        context = get_context("fork" if sys.platform == "linux" else "spawn")
        try:
            check_port()
            with ProcessPoolExecutor(  # the parent process keeps no model in memory
                1, context, initializer=configure_logging, initargs=(settings.log_format,)
            ) as child:
                plans = child.submit(make_plans, settings, threads=cores_per_worker(settings)).result()
        except Exception as error:
            raise bentoml.exceptions.BentoMLException(str(error)) from None
        os.environ[SERVING_PLANS] = PLANS.dump_json(plans).decode()
        folder = tempfile.mkdtemp(prefix="classifier-metrics-")  # all servers of a user share BentoML's folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ[METRICS_DIR] = folder

    @bentoml.on_startup
    async def start(self) -> None:
        """Become ready when the models are loaded; until then requests get 503."""
        drain_on_signals(worker)
        worker.start()

    @bentoml.on_shutdown
    def stop(self) -> None:
        """Stop the worker's threads."""
        worker.close()

    async def __is_alive__(self) -> bool:
        """Return the state for /livez: False, to force a restart, if loading failed."""
        return worker.state != "failed"

    async def __is_ready__(self) -> bool:
        """Return the state for /readyz."""
        return worker.state == "ready"

    @bentoml.api
    async def classify(self, image: PIL.Image.Image, model: str) -> dict[str, Any]:
        """Return the class probabilities of ``image`` from the model named ``model``."""
        raise NotImplementedError("InferenceMiddleware handles POST /classify; this method defines its schema")


class _Service(bentoml.Service[_Classifier]):
    """BentoML's service with the inference routes in front of its middleware.

    BentoML's timeout middleware keeps a timer per request until it fires, and the garbage collector traverses them.
    With it, the 99th percentile at 16 connections rose from 3 to 100 ms.
    """

    def to_asgi(self, is_main: bool = True) -> App:  # BentoML's signature
        """Return the application of a worker, and begin to load its models."""
        configure_logging(settings.log_format)
        if METRICS_DIR in os.environ:
            os.environ[MULTIPROCESS_DIR] = os.environ[METRICS_DIR]
        plans = PLANS.validate_json(os.environ[SERVING_PLANS]) if SERVING_PLANS in os.environ else None
        gpu = gpu_index(bentoml.server_context.worker_index or 1)
        worker.begin_loading(partial(load_repository, settings, plans, gpu=gpu))
        configure_uvicorn(worker)
        return allow_origins(InferenceMiddleware(super().to_asgi(is_main), worker=worker), settings)


Classifier = bentoml.service(
    name="classifier",
    service_class=_Service,
    workers=count_workers(settings),
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)(_Classifier)
Classifier.mount_asgi_app(create_routes(worker), path="/")
