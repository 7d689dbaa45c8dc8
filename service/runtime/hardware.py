"""GPUs, and the number of worker processes for this machine."""

import os

from models.hardware import available_cores
from service.settings import Settings


def count_gpus() -> int:
    """Return the number of visible NVIDIA GPUs, 0 without a driver.

    CUDA_VISIBLE_DEVICES is respected.
    """
    import pynvml  # BentoML depends on it  # noqa: PLC0415

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        present = int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()
    if visible is None:
        return present
    return min(present, len([gpu for gpu in visible.split(",") if gpu.strip() not in {"", "-1"}]))


def count_workers(settings: Settings) -> int:
    """Return the number of worker processes: as set, or one per GPU, or one per core."""
    if settings.workers is not None:
        return settings.workers
    gpus = 0 if settings.device == "cpu" else count_gpus()
    return gpus or available_cores()


def cores_per_worker(settings: Settings) -> int:
    """Return the CPU threads per worker: its share of the cores, at least one."""
    return max(1, available_cores() // count_workers(settings))


def gpu_index(worker_index: int) -> int:
    """Return the GPU of the ``worker_index``-th worker (from 1), round-robin."""
    return (worker_index - 1) % max(count_gpus(), 1)
