"""Execution methods on a GPU: functions from uint8 images to probabilities."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.hardware import available_cores
from service.inference.repository import make_batcher
from service.metrics import ModelMetrics
from service.runtime.cuda_binding import BoundBatch
from service.runtime.planning import ServingPlan
from service.runtime.session import Device, OnnxClassifier
from service.settings import Settings
from training.onnx_session import CPU_PROVIDER, GPU_OPTIONS, GPU_PROVIDER, runs_on_gpu

MIN_IMAGES, MIN_BATCHES = 1024, 16  # queued at once by `service`, so that starting an event loop is negligible
MAX_WAIT_MS = 3_600_000  # no request is rejected

Images = NDArray[np.uint8]
Run = Callable[[Images], NDArray[np.float32]]


def plain(path: Path, _shape: tuple[int, ...], device: Device) -> Run:
    """Run with ONNX Runtime's own allocation and copies."""
    session = open_session(path, device)
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def bound(path: Path, shape: tuple[int, ...], device: Device) -> Run:
    """Run with inputs and outputs bound to page-locked and device memory."""
    return _bind(open_session(path, device), shape, device)


def cuda_graph(path: Path, shape: tuple[int, ...], device: Device) -> Run:
    """Replay one CUDA graph per run; the same as ``bound`` on the CPU."""
    return _bind(open_session(path, device, enable_cuda_graph="1"), shape, device)


def _bind(session: ort.InferenceSession, shape: tuple[int, ...], device: Device) -> Run:
    batch = BoundBatch(session, shape[0], outputs=["probabilities"], device=device)
    return lambda images: batch.run(images)[0]


def after_another_size(path: Path, shape: tuple[int, ...], device: Device) -> Run:
    """Run a batch of another size before each batch; both are timed, one counts."""
    classifier = _open_classifier(path, max(2, shape[0]), device)

    def run(images: Images) -> NDArray[np.float32]:
        classifier.predict(images[:1] if len(images) > 1 else np.concatenate([images, images]))
        return classifier.predict(images)

    return run


def service(path: Path, shape: tuple[int, ...], device: Device) -> Run:
    """Submit many batches to the service's batcher, one request per image."""
    size, threads = shape[0], available_cores()
    count = max(MIN_BATCHES, MIN_IMAGES // size)
    classifier = _open_classifier(path, size, device)
    plan = ServingPlan(path=path, device=device, threads=threads, concurrency=1, max_batch_size=size, batch_s=0.0)
    settings = Settings(max_queue=count * size, max_wait_ms=MAX_WAIT_MS)
    metrics = ModelMetrics(classifier.card.name, classifier.card.version)
    batcher = make_batcher(classifier, plan, settings, metrics)

    async def classify(images: Images) -> NDArray[np.float32]:
        predictions = (batcher.predict([image], client_left=lambda: False) for _ in range(count) for image in images)
        jobs = await asyncio.gather(*predictions)
        return np.array([job.predictions[0].probabilities for job in jobs], np.float32)

    return lambda images: asyncio.run(classify(images))


def _open_classifier(path: Path, max_batch_size: int, device: Device) -> OnnxClassifier:
    """Open a model as the service does."""
    classifier = OnnxClassifier(path, device=device, threads=available_cores())
    classifier.warm_up(max_batch_size)
    return classifier


METHODS = {
    "run": plain,
    "bound": bound,
    "CUDA graph": cuda_graph,
    "after another size": after_another_size,
    "service": service,
}


def open_session(path: Path, device: Device, **gpu_options: str) -> ort.InferenceSession:
    """Open a model on the device.

    Raises:
        RuntimeError: ONNX Runtime fell back to the CPU.
    """
    cuda = (GPU_PROVIDER, {**GPU_OPTIONS, **gpu_options})
    providers = [CPU_PROVIDER] if device == "cpu" else [cuda, CPU_PROVIDER]
    session = ort.InferenceSession(path, providers=providers)
    if device == "cuda" and not runs_on_gpu(session):
        raise RuntimeError("ONNX Runtime fell back to the CPU; install the `cuda` extra")
    return session
