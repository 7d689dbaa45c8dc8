"""Device, threads and numerical precision of a training run."""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch

from models.hardware import available_cores, describe_processor
from training.errors import TrainingError
from training.plurals import describe_count

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)

DeviceChoice = Literal["auto", "cpu", "cuda"]


class DeviceError(TrainingError):
    """The requested device is unavailable."""


def choose_device(choice: DeviceChoice) -> torch.device:
    """Return the device; ``auto`` is the GPU if torch sees one, else the CPU.

    Raises:
        DeviceError: ``cuda`` was requested and torch sees no GPU.
    """
    available = torch.cuda.is_available()
    if choice == "cuda" and not available:
        raise DeviceError(f"--device cuda: torch {torch.__version__} sees no GPU; use --device auto or cpu")
    return torch.device("cuda" if available and choice != "cpu" else "cpu")


def supports_bfloat16(device: torch.device) -> bool:
    """Tell whether the hardware multiplies bfloat16.

    Emulated bfloat16 is slower than float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())  # torch 2.11 has no public function for this


def mixed_precision(device: torch.device, *, enabled: bool = True) -> AbstractContextManager[None]:
    """Compute convolutions and matrix products in bfloat16 if supported."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and supports_bfloat16(device))


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory instead of requesting zeroed pages at each step.

    This shortens a step of the CIFAR-10 network on the CPU by a fifth (`benchmarks/training.py`).
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # never


def half_of_threads() -> int:
    """Return half of torch's threads, at least one, for the student or its teacher.

    On two cores, two threads for each were slower than one for each.
    """
    return max(1, torch.get_num_threads() // 2)


@contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """Limit torch to ``count`` threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe_hardware(device: torch.device) -> str:
    """Return the name of the GPU, or the core count and name of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{describe_count(available_cores(), 'core')} of {describe_processor()}"
