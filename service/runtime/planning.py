"""Serving plan of each model version: file, device, threads and batch size.

The plans are measured once for all workers.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter

from models.card import ADOPT
from models.contract import MODEL_FILE, MODEL_FILES
from service.runtime.golden_check import check_golden
from service.runtime.model_store import find_misplaced_files, find_model_files, load_classifier
from service.runtime.session import Device, ForeignModelError, ModelLoadError, OnnxClassifier
from service.settings import Settings

logger = logging.getLogger("classifier")

LOW_PRECISION = {"cpu": "int8", "cuda": "float16"}  # by device
TIMED_IMAGES = 4  # on the CPU: enough to compare precisions without delaying the start
BATCH_S = 0.02  # longest batch on the CPU, unless it has one image
TIMING_S, MAX_TIMED_RUNS = 0.005, 20
INLINE_BELOW_S = 0.001  # a full batch under this costs less than waking a thread


class Load(Protocol):
    """The signature of :func:`load_classifier`."""

    def __call__(self, path: Path, settings: Settings, *, threads: int) -> OnnxClassifier:
        """Load one model file."""


class Timed(Protocol):
    """A model whose runs are timed."""

    @property
    def device(self) -> Device:
        """Return the device that the model runs on."""

    def run_blank(self, count: int) -> float:
        """Run ``count`` images and return the seconds that it took."""


@dataclass(frozen=True, kw_only=True)
class ServingPlan:
    """Serving plan of one version of one model."""

    path: Path  # of the ONNX file
    device: Device
    threads: int  # CPU threads per batch
    concurrency: int  # batches at once, each on its own thread; 0: one, on the event loop
    max_batch_size: int
    batch_s: float  # seconds per full batch


ServingPlans = dict[str, dict[str, ServingPlan]]  # name -> version -> plan, versions ascending
PLANS: TypeAdapter[ServingPlans] = TypeAdapter(ServingPlans)  # JSON for the worker processes


def make_plans(settings: Settings, *, threads: int, load: Load = load_classifier) -> ServingPlans:
    """Load, check and time every version, without keeping it.

    ONNX files of other projects, and files outside a version's folder, are left out with one warning.

    Args:
        settings: of the service.
        threads: CPU threads of a worker.
        load: loads a model file.

    Raises:
        ModelLoadError: see load_classifier; or no file has a model card.
        DeviceError: see load_classifier.
    """
    files = find_model_files(settings.models_dir)
    plans: ServingPlans = {}
    not_served = find_misplaced_files(settings.models_dir, files)
    for name, versions in files.items():
        for version, path in versions.items():
            try:
                plans.setdefault(name, {})[version] = make_plan(path, settings, threads=threads, load=load)
            except ForeignModelError:
                not_served.append(path)
    if not_served:
        paths = ", ".join(str(path.relative_to(settings.models_dir)) for path in not_served)
        advice = f"expected NAME/VERSION/{MODEL_FILE} with a model card; {ADOPT}"
        if not plans:
            raise ModelLoadError(f"nothing to serve in {settings.models_dir}: {paths}: {advice}")
        logger.warning("not served: %s: %s", paths, advice)
    return plans


def make_plan(path: Path, settings: Settings, *, threads: int, load: Load = load_classifier) -> ServingPlan:
    """Load, check and time one version, given its float32 file.

    With ``device=auto`` and a GPU, the version is also timed on the CPU. A model that is cheap enough for the event
    loop of the CPU is not worth the transfer to a GPU.
    """
    plan = _make_plan(path, settings, threads=threads, load=load)
    if plan.device == "cuda" and settings.device == "auto":
        on_cpu = _make_plan(path, settings.model_copy(update={"device": "cpu"}), threads=threads, load=load)
        return plan if on_cpu.concurrency else on_cpu
    return plan


def _make_plan(path: Path, settings: Settings, *, threads: int, load: Load) -> ServingPlan:
    """Plan for one device.

    On the CPU each of ``threads`` runs its own batches, because a batch that is split ends with its slowest part. Only
    a model whose single image takes longer than BATCH_S gets all threads for each batch.
    """
    classifier = choose_classifier(path, settings, threads=1, load=load)
    max_batch_size, batch_s = measure_batch(classifier, settings.max_batch_size)
    concurrency = 1 if classifier.device == "cuda" else threads
    if batch_s < INLINE_BELOW_S:
        concurrency = 0
    elif batch_s / max_batch_size > BATCH_S and concurrency > 1:
        classifier, concurrency = load(classifier.path, settings, threads=threads), 1
        max_batch_size, batch_s = measure_batch(classifier, settings.max_batch_size)
    return ServingPlan(
        path=classifier.path,
        device=classifier.device,
        threads=classifier.threads,
        concurrency=concurrency,
        max_batch_size=max_batch_size,
        batch_s=batch_s,
    )


def choose_classifier(path: Path, settings: Settings, *, threads: int, load: Load = load_classifier) -> OnnxClassifier:
    """Choose, load and check the file of one version, given its float32 file.

    By default the choice is the int8 file on the CPU, and the float16 file on a GPU, if it is faster on this machine
    and passes its golden check. Only the chosen file is checked.

    Raises:
        ModelLoadError: the file cannot be loaded or fails its golden check.
        DeviceError: see load_classifier.
    """
    float32 = load(path, settings, threads=threads)
    low_precision = _find_low_precision(float32, settings)
    if low_precision is not None:
        try:
            classifier = load(low_precision, settings, threads=threads)
            if settings.precision != "auto" or _is_faster(classifier, float32, settings):
                check_golden(classifier)
                return classifier
        except ModelLoadError as error:
            if settings.precision != "auto":
                raise
            logger.warning("serving %s in float32: %s", path.parent, error)
    check_golden(float32)
    return float32


def _find_low_precision(float32: OnnxClassifier, settings: Settings) -> Path | None:
    """Return the lower-precision file for the device, or None to use float32."""
    if settings.precision == "float32":
        return None
    precision = LOW_PRECISION[float32.device]
    path = float32.path.with_name(MODEL_FILES[precision])
    if path.exists() and settings.precision in {"auto", precision}:
        return path
    if settings.precision != "auto":
        folder = float32.path.parent
        logger.warning("serving %s in float32: it has no %s file for this device", folder, settings.precision)
    return None


def _is_faster(classifier: OnnxClassifier, other: OnnxClassifier, settings: Settings) -> bool:
    count = TIMED_IMAGES if other.device == "cpu" else settings.max_batch_size
    return time_batch(classifier, count) < time_batch(other, count)


def measure_batch(classifier: Timed, max_batch_size: int) -> tuple[int, float]:
    """Return the largest batch size to use and its seconds per batch.

    On a GPU that is ``max_batch_size``. On the CPU larger batches are no cheaper per image, and they delay the next
    requests, so a batch takes at most BATCH_S.
    """
    if classifier.device == "cuda":
        return max_batch_size, time_batch(classifier, max_batch_size)
    count = min(max_batch_size, 8)
    classifier.run_blank(count)
    seconds_per_image = time_batch(classifier, count) / count
    if (size := max(1, int(BATCH_S / seconds_per_image))) < max_batch_size:
        return size, size * seconds_per_image
    return max_batch_size, time_batch(classifier, max_batch_size)  # waking threads distorts the time of a small batch


def time_batch(classifier: Timed, count: int) -> float:
    """Return the fastest of several runs, in seconds.

    A cheap model has more runs, because other work at start disturbs short measurements.
    """
    if classifier.device == "cuda":
        classifier.run_blank(count)  # not timed: it opens the session of the batch size
    times = [classifier.run_blank(count), classifier.run_blank(count)]
    while sum(times) < TIMING_S and len(times) < MAX_TIMED_RUNS:
        times.append(classifier.run_blank(count))
    return min(times)
