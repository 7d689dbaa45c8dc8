"""Shared fixtures: an in-process service with tiny models, batchers and images."""

import threading
import time

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from support.batches import SHAPE, GatedModel
from support.paths import ROOT
from support.served import serve
from support.service import Service, encode
from support.tiny_models import ANIMALS, write_model

from service.batching.batcher import Batcher
from service.metrics import ModelMetrics
from service.settings import Settings

hypothesis_settings.register_profile("project", deadline=None, derandomize=True, max_examples=200)
hypothesis_settings.load_profile("project")


def pytest_addoption(parser):
    parser.addoption("--screenshot", metavar="PATH", help="file for the screenshot that test_page takes of the page")

    parser.addoption("--fuzz-seconds", type=float, default=3.0, help="duration of test_fuzzing, default: %(default)s")
    parser.addoption("--fuzz-seed", type=int, default=0, help="seed of test_fuzzing, default: %(default)s")


def pytest_collection_modifyitems(items):
    """Mark the tests that start processes or train a model as ``system``."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "system"):
            item.add_marker("system")


@pytest.fixture(scope="session", autouse=True)
def brief_timing():
    """Shorten timing measurements, whose results the tests do not use."""
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
    """Return a function that starts a service with the given settings."""
    services = []

    def start_service(*, load=True, models_dir=models_dir, **settings):
        service = Service(Settings(models_dir=models_dir, device="cpu", workers=1, **settings))
        services.append(service)
        if load:
            service.load()
        return service

    yield start_service
    for service in services:
        service.worker.close()


@pytest.fixture
def service(start):
    return start()


@pytest.fixture
def gate():
    """An event that blocks a model until it is set; always set at teardown."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def full(start, gate):
    """Service with a queue limit of 2 whose model blocks until ``gate`` is set."""
    service = start(max_queue=2)
    service.gate("mnist", lambda images, classify: gate.wait(60) and classify(images))
    return service


@pytest.fixture(scope="session")
def url():
    """The address of a shared real service with the real models and default settings."""
    with serve() as served:
        yield served.url


@pytest.fixture(scope="session")
def digit_pixels():
    """A grey digit-like image (28, 28) that the preparation leaves unchanged."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 12:16] = 200
    return pixels


@pytest.fixture(scope="session")
def digit_png(digit_pixels):
    return encode(digit_pixels)


@pytest.fixture
def model():
    return GatedModel()


@pytest.fixture
def make_batcher(model):
    made = []

    def make(
        *,
        concurrency=1,
        max_batch_size=4,
        max_queue=100,
        max_wait_s=10.0,
        seconds_per_image=0.0,
        clock=time.perf_counter,
    ):
        metrics = ModelMetrics("batching", "1")
        batcher = Batcher(
            model.run,
            image_shape=SHAPE,
            max_batch_size=max_batch_size,
            max_queue=max_queue,
            max_wait_s=max_wait_s,
            seconds_per_image=seconds_per_image,
            concurrency=concurrency,
            metrics=metrics,
            clock=clock,
        )
        made.append(batcher)
        return batcher

    yield make
    model.gate.set()
    for batcher in made:
        batcher.close()
