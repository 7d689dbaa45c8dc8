"""In-process ASGI application around one worker, and request helpers."""

import asyncio
import io
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import httpx
from PIL import Image

from service.http.cors import allow_origins
from service.http.middleware import InferenceMiddleware
from service.http.routes import create_routes
from service.inference.repository import ModelRepository, load_repository, make_batcher
from service.inference.worker import Worker
from service.runtime.planning import ServingPlan


class Service:
    """ASGI application around one worker; each call runs its own event loop."""

    def __init__(self, settings):
        self.worker = Worker(settings)
        middleware = InferenceMiddleware(create_routes(self.worker), worker=self.worker)
        self.app = allow_origins(middleware, settings)

    def ask(self, *requests):
        """Send (method, path, httpx arguments) concurrently; return the responses."""

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

    def load(self, load=None):
        """Load the models, or call ``load`` instead."""
        self.worker.begin_loading(load or partial(load_repository, self.worker.settings))
        asyncio.run(self.worker.become_ready())

    def replace(self, name, **changes):
        """Replace fields of the model ``name``."""
        versions = dict(self.worker.models.models)
        model = replace(self.worker.models.find(name), **changes)
        versions[name] = versions[name] | {model.card.version: model}
        self.load(lambda: ModelRepository(versions))

    def gate(self, name, run):
        """Wrap the model ``name`` in ``run(images, classify)``, on a thread of its own."""
        model, settings = self.worker.models.find(name), self.worker.settings
        classifier = SimpleNamespace(
            image_shape=model.classifier.image_shape, run=lambda images: run(images, model.classifier.run)
        )
        plan = ServingPlan(
            path=model.classifier.path,
            device="cpu",
            threads=1,
            concurrency=1,
            max_batch_size=settings.max_batch_size,
            batch_s=0.0,
        )
        model.batcher.close()
        self.replace(name, batcher=make_batcher(classifier, plan, settings, model.metrics))


def encode(pixels, image_format="PNG"):
    """Encode uint8 pixels as an image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format)
    return buffer.getvalue()


MNIST = "/v1/models/mnist/classify"


MNIST_BATCH = "/v1/models/mnist/classify-batch"


ZOO = "/v1/models/zoo/classify"


def images(*contents):
    return {"files": [("images", (f"{i}.png", content)) for i, content in enumerate(contents)]}


def problem(response):
    """Check that a response is a complete problem and return (status, code)."""
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert list(body) == ["type", "title", "status", "detail", "code"]
    assert body["status"] == response.status_code
    assert body["detail"]
    return response.status_code, body["code"]
