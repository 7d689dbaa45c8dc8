"""Execution methods on a GPU: functions from uint8 images to probabilities."""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.hardware import available_cores
from service.batching.batcher import Batcher
from service.metrics import ModelMetrics
from service.runtime.cuda_binding import BoundBatch
from service.runtime.session import OnnxClassifier

SERVED_IMAGES, SERVED_BATCHES = 1024, 16  # minimum queued at once, so that starting an event loop is negligible

Images = NDArray[np.uint8]
Run = Callable[[Images], NDArray[np.float32]]


def plain(path: Path, _shape: tuple[int, ...], device: str) -> Run:
    """Run with ONNX Runtime's own allocation and copies."""
    session = open_session(path, device)
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def bound(path: Path, shape: tuple[int, ...], device: str) -> Run:
    """Run with inputs and outputs bound to page-locked and device memory."""
    return _bind(open_session(path, device), shape, device)


def captured(path: Path, shape: tuple[int, ...], device: str) -> Run:
    """Replay one CUDA graph per run; the same as ``bound`` on the CPU."""
    return _bind(open_session(path, device, enable_cuda_graph="1"), shape, device)


def _bind(session: ort.InferenceSession, shape: tuple[int, ...], device: str) -> Run:
    batch = BoundBatch(session, shape[0], outputs=["probabilities"], device=device)
    return lambda images: batch.run(images)[0]


def in_turn(path: Path, shape: tuple[int, ...], device: str) -> Run:
    """Run a batch of another size before each batch; both are timed, one counts."""
    classifier = _classifier(path, max(2, shape[0]), device)

    def run(images: Images) -> NDArray[np.float32]:
        classifier.predict(images[:1] if len(images) > 1 else np.concatenate([images, images]))
        return classifier.predict(images)

    return run


def batched(path: Path, shape: tuple[int, ...], device: str) -> Run:
    """Submit many batches to the service's batcher, one request per image."""
    classifier = _classifier(path, shape[0], device)
    count = max(SERVED_BATCHES, SERVED_IMAGES // shape[0])
    batcher = Batcher(
        classifier.run,
        image_shape=shape[1:],
        max_batch_size=shape[0],
        max_queue=count * shape[0],
        max_wait_s=math.inf,
        seconds_per_image=0.0,
        concurrency=1,
        metrics=ModelMetrics(classifier.card.name, classifier.card.version),
    )

    async def classify(images: Images) -> NDArray[np.float32]:
        jobs = [batcher.submit([image], client_left=lambda: False) for _ in range(count) for image in images]
        await asyncio.gather(*(job.done for job in jobs))
        return np.array([job.predictions[0].probabilities for job in jobs], np.float32)

    return lambda images: asyncio.run(classify(images))


def _classifier(path: Path, max_batch_size: int, device: str) -> OnnxClassifier:
    """Open a model as the service does."""
    classifier = OnnxClassifier(path, device="cuda" if device == "cuda" else "cpu", threads=available_cores())
    classifier.warm_up(max_batch_size)
    return classifier


WAYS = {"run": plain, "bound": bound, "CUDA graph": captured, "after another size": in_turn, "service": batched}


def open_session(path: Path, device: str, **more: str) -> ort.InferenceSession:
    """Open a model on the device.

    Raises:
        RuntimeError: ONNX Runtime fell back to the CPU.
    """
    cuda = ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC", **more})
    providers = ["CPUExecutionProvider"] if device == "cpu" else [cuda, "CPUExecutionProvider"]
    session = ort.InferenceSession(path, providers=providers)
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise RuntimeError("ONNX Runtime fell back to the CPU; install the `cuda` extra")
    return session
