"""What several test files need: a worker with tiny models, in process, and images."""

import asyncio
import io
import threading
from dataclasses import replace

import httpx
import numpy as np
import pytest
from batches import SHAPE, GatedModel
from hypothesis import settings as hypothesis_settings
from PIL import Image
from served import serve
from tiny_models import ANIMALS, write_model

from service.batching.batcher import Batcher
from service.http.middleware import HotRoutes
from service.http.routes import create_routes
from service.inference.repository import ModelRepository
from service.inference.worker import Worker
from service.metrics import ModelMetrics
from service.settings import Settings

hypothesis_settings.register_profile("project", deadline=None, derandomize=True, max_examples=200)
hypothesis_settings.load_profile("project")


def pytest_addoption(parser):
    parser.addoption("--screenshot", metavar="PATH", help="where test_page keeps its picture of the page")


def pytest_collection_modifyitems(items):
    """Mark what starts processes or trains from end to end: `pytest -m "not system"` leaves it out."""
    for item in items:
        if "system" in item.path.parts:
            item.add_marker("system")


class Service:
    """The ASGI application around one worker, asked in process; each call is an event loop of its own."""

    def __init__(self, settings):
        self.worker = Worker(settings)
        self.app = HotRoutes(create_routes(self.worker), worker=self.worker)

    def ask(self, *requests):
        """Send the requests, each (method, path, httpx arguments), at once; return the responses in order."""

        async def main():
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                calls = (client.request(method, path, **arguments) for method, path, arguments in requests)
                return await asyncio.gather(*calls)

        return asyncio.run(main())

    def get(self, path, **arguments):
        return self.ask(("GET", path, arguments))[0]

    def post(self, path, **arguments):
        return self.ask(("POST", path, arguments))[0]

    def replace(self, name, **changes):
        """Exchange parts of the model ``name``."""
        versions = dict(self.worker.models.models)
        model = replace(self.worker.models.find(name), **changes)
        versions[name] = versions[name] | {model.card.version: model}
        self.worker._models = ModelRepository(versions)

    def gate(self, name, run):
        """Put ``run(images, classify)`` before the model ``name``."""
        model = self.worker.models.find(name)
        settings = self.worker.settings
        batcher = Batcher(
            lambda images: run(images, model.classifier.run),
            image_shape=model.classifier.image_shape,
            max_batch_size=settings.max_batch_size,
            max_queue=settings.max_queue,
            max_wait_s=settings.max_wait_ms / 1000,
            seconds_per_image=0.0,
            streams=1,
            metrics=model.metrics,
        )
        model.batcher.close()
        self.replace(name, batcher=batcher)


@pytest.fixture(scope="session", autouse=True)
def brief_timing():
    """Do not wait for figures that nobody reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.export.timing.SECONDS", 0.02)
        yield


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "mnist", version="1", seed=1)
    write_model(folder, "mnist", version="2", seed=2)
    write_model(folder, "zoo", image_shape=(16, 24, 3), preparation="photo", class_names=ANIMALS)
    return folder


@pytest.fixture
def start(models_dir):
    """Return a function that starts a service with settings of its own."""
    services = []

    def start_service(*, load=True, models_dir=models_dir, **settings):
        service = Service(Settings(models_dir=models_dir, device="cpu", workers=1, **settings))
        services.append(service)
        if load:
            service.worker.begin_loading()
            asyncio.run(service.worker.become_ready())
        return service

    yield start_service
    for service in services:
        service.worker.close()


@pytest.fixture
def service(start):
    return start()


@pytest.fixture
def gate():
    """An event that holds up a model until it is set; set at the end in any case."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def full(start, gate):
    """A service whose model runs nothing before ``gate`` opens and lets two requests wait."""
    service = start(max_queue=2)
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))
    return service


@pytest.fixture(scope="session")
def url():
    """The address of a real service, with the real models and no settings, that the tests share."""
    with serve() as served:
        yield served.url


def encode(pixels, image_format="PNG"):
    """Return uint8 pixels as an encoded image."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def digit_pixels():
    """A grey digit-like image (28, 28) that passes the preparation bit for bit."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[6:22, 12:16] = 200
    return pixels


@pytest.fixture(scope="session")
def digit_png(digit_pixels):
    return encode(digit_pixels)


MNIST = "/v1/models/mnist/classify"
MNIST_BATCH = "/v1/models/mnist/classify-batch"
ZOO = "/v1/models/zoo/classify"


def images(*contents):
    return {"files": [("images", (f"{i}.png", content)) for i, content in enumerate(contents)]}


def problem(response):
    """Return (status, code) of an answer that must be a problem in full."""
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert list(body) == ["type", "title", "status", "detail", "code"]
    assert body["status"] == response.status_code
    assert body["detail"]
    return response.status_code, body["code"]


@pytest.fixture
def model():
    return GatedModel()


@pytest.fixture
def make_batcher(model):
    made = []

    def make(*, streams=1, max_batch_size=4, max_queue=100, max_wait_s=10.0, seconds_per_image=0.0):
        metrics = ModelMetrics("batching", "1")
        batcher = Batcher(
            model.run,
            image_shape=SHAPE,
            max_batch_size=max_batch_size,
            max_queue=max_queue,
            max_wait_s=max_wait_s,
            seconds_per_image=seconds_per_image,
            streams=streams,
            metrics=metrics,
        )
        made.append(batcher)
        return batcher

    yield make
    model.gate.set()
    for batcher in made:
        batcher.close()
