"""Prometheus metrics.

The served models bound the values of every label. Metrics are created after the worker has started, because the
environment then names the folder that the workers share (prometheus_client's multiprocess mode).
"""

import os
from functools import cache
from pathlib import Path
from threading import Lock

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.metrics_buffer import BUFFER, BufferedCounter, BufferedGauge, BufferedHistogram

CONTENT_TYPE = CONTENT_TYPE_LATEST
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
NO_MODEL = "none"  # the label of requests that name no known model

_MODEL = ("model", "version")
_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class _Families:
    """All metrics of the process."""

    def __init__(self) -> None:
        self.requests = Counter("classifier_requests", "Requests by status.", [*_MODEL, "status"])
        self.images = Counter("classifier_images", "Images that the model ran on; an explanation counts as 50.", _MODEL)
        self.unfamiliar = Counter("classifier_unfamiliar", "Images with a familiarity below 0.05.", _MODEL)
        self.dropped = Counter(
            "classifier_dropped",
            "Requests dropped from the queue, because the deadline passed or the client disconnected.",
            [*_MODEL, "reason"],
        )
        self.batch_size = Histogram("classifier_batch_size", "Images per batch.", _MODEL, buckets=_IMAGES)
        self.decode = Histogram(
            "classifier_decode_seconds", "Time to decode and prepare the images of a request.", _MODEL, buckets=_SECONDS
        )
        self.queue = Histogram(
            "classifier_queue_seconds",
            "Time that a request waits in the queue until its first batch starts.",
            _MODEL,
            buckets=_SECONDS,
        )
        self.inference = Histogram(
            "classifier_inference_seconds", "Time that the model takes for a batch.", _MODEL, buckets=_SECONDS
        )
        self.queue_length = Gauge(
            "classifier_queue_length", "Images currently queued.", _MODEL, multiprocess_mode="livesum"
        )
        self.device = Gauge(
            "classifier_device_info",
            "1 for the device that the model runs on.",
            [*_MODEL, "device"],
            multiprocess_mode="livemax",
        )


_creation = Lock()  # a thread loads the models while the event loop already counts refused requests


@cache
def _create_families() -> _Families:
    return _Families()


def _families() -> _Families:
    with _creation:
        return _create_families()


class RequestCounter:
    """Counts responses by status."""

    def __init__(self, model: str = NO_MODEL, version: str = NO_MODEL) -> None:
        self._labels = (model, version)
        self._pending: dict[int, int] = {}

    def count(self, status: int) -> None:
        """Count one response."""
        if not self._pending:
            BUFFER.add(self)
        self._pending[status] = self._pending.get(status, 0) + 1

    def publish(self) -> None:
        """Pass the counts on; a series is created with its first count."""
        pending, self._pending = self._pending, {}
        for status, count in pending.items():
            _families().requests.labels(*self._labels, str(status)).inc(count)


class ModelMetrics:
    """Metrics of one version of one model, with resolved labels."""

    def __init__(self, model: str, version: str) -> None:
        families = _families()
        self._labels = (model, version)
        self.requests = RequestCounter(model, version)
        self.images = BufferedCounter(families.images.labels(model, version))
        self.unfamiliar = BufferedCounter(families.unfamiliar.labels(model, version))
        self.timed_out = BufferedCounter(families.dropped.labels(model, version, "deadline"))
        self.client_left = BufferedCounter(families.dropped.labels(model, version, "disconnect"))
        self.batch_size = BufferedHistogram(families.batch_size.labels(model, version), _IMAGES)
        self.decode_seconds = BufferedHistogram(families.decode.labels(model, version), _SECONDS)
        self.queue_seconds = BufferedHistogram(families.queue.labels(model, version), _SECONDS)
        self.inference_seconds = BufferedHistogram(families.inference.labels(model, version), _SECONDS)
        self.queue_length = BufferedGauge(families.queue_length.labels(model, version))

    def set_device(self, device: str) -> None:
        """Publish the device in use."""
        _families().device.labels(*self._labels, device).set(1)


def render() -> bytes:
    """Return the metrics of all workers in the Prometheus text format."""
    BUFFER.publish()
    if MULTIPROCESS_DIR not in os.environ:
        return generate_latest(REGISTRY)
    _remove_gauges_of_dead_workers(Path(os.environ[MULTIPROCESS_DIR]))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)


def _remove_gauges_of_dead_workers(folder: Path) -> None:
    """Remove the gauges of workers that have ended.

    Otherwise the queue length of a killed worker remains in the sum.
    """
    for pid in {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))
