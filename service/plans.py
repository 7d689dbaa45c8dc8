"""How each model version is served: which file, on how many threads, in what batches; measured once for all workers."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from models.layout import INT8_MODEL_FILE
from service.classifier import ModelLoadError, OnnxClassifier
from service.model_files import find_model_files, load_classifier
from service.settings import Settings

logger = logging.getLogger("classifier")

TIMED_BATCH, TIMED_RUNS = 4, 2  # enough to tell the precisions apart, little enough to start soon
INLINE_BELOW_S = 0.001  # a full batch under this costs less than waking a thread and being woken by it, again and again


@dataclass(frozen=True, kw_only=True)
class ServingPlan:
    """How a worker serves one version of one model."""

    path: Path  # of the ONNX file
    threads: int  # that a batch is shared out to, on the CPU
    max_batch_size: int
    batch_s: float  # that a full batch takes, seconds
    inline: bool  # on the event loop instead of a thread


ServingPlans = dict[str, dict[str, ServingPlan]]  # name -> version -> plan, versions ascending
PLANS: TypeAdapter[ServingPlans] = TypeAdapter(ServingPlans)  # to JSON and back, for another process


def make_plans(settings: Settings, *, threads: int) -> ServingPlans:
    """Load, check and time every version, and let it go again.

    Raises:
        ModelLoadError, DeviceError: see load_classifier.
    """
    return {
        name: {version: make_plan(path, settings, threads=threads) for version, path in versions.items()}
        for name, versions in find_model_files(settings.models_dir).items()
    }


def make_plan(path: Path, settings: Settings, *, threads: int) -> ServingPlan:
    """Load, check and time one version, given its float file."""
    classifier = choose_classifier(path, settings, threads=threads)
    max_batch_size, batch_s = classifier.measure(settings.max_batch_size)
    inline = batch_s < INLINE_BELOW_S
    if inline and threads > 1:  # so little work costs more to share out than it takes
        classifier = load_classifier(classifier.path, settings, threads=1)
        max_batch_size, batch_s = classifier.measure(settings.max_batch_size)
    return ServingPlan(
        path=classifier.path,
        threads=classifier.threads,
        max_batch_size=max_batch_size,
        batch_s=batch_s,
        inline=inline,
    )


def choose_classifier(path: Path, settings: Settings, *, threads: int) -> OnnxClassifier:
    """Load the file of one version that shall be served, given its float file.

    On the CPU that is the int8 file where it is faster here and gives its golden answers, unless the settings say
    otherwise.

    Raises:
        ModelLoadError, DeviceError: see load_classifier.
    """
    float32 = load_classifier(path, settings, threads=threads)
    int8_path = path.with_name(INT8_MODEL_FILE)
    if settings.precision == "float32":
        return float32
    if float32.device != "cpu" or not int8_path.exists():
        if settings.precision == "int8":
            logger.warning("serving %s in float32: it has no %s for the CPU", path.parent, INT8_MODEL_FILE)
        return float32
    try:
        int8 = load_classifier(int8_path, settings, threads=threads)
    except ModelLoadError as error:  # a processor without VNNI may saturate where another did not
        if settings.precision == "int8":
            raise
        logger.warning("serving %s in float32: %s", path.parent, error)
        return float32
    return int8 if settings.precision == "int8" or _seconds(int8) < _seconds(float32) else float32


def _seconds(classifier: OnnxClassifier) -> float:
    """Return how long a run of a few images takes."""
    images = np.zeros((TIMED_BATCH, *classifier.image_shape), np.uint8)  # its golden images have warmed it up
    return min(classifier.timed(images) for _ in range(TIMED_RUNS))
