"""The device of a training run and its precision."""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch

from models.hardware import available_cores, describe_processor
from training.errors import TrainingError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)

DeviceChoice = Literal["auto", "cpu", "cuda"]


class DeviceError(TrainingError):
    """The device that was asked for is not there."""


def choose_device(choice: DeviceChoice) -> torch.device:
    """Return the device; ``auto`` is the GPU where torch sees one.

    Raises:
        DeviceError: ``cuda`` was asked for and is not there.
    """
    available = torch.cuda.is_available()
    if choice == "cuda" and not available:
        raise DeviceError(f"--device cuda: torch {torch.__version__} sees no GPU here; use --device auto or cpu")
    return torch.device("cuda" if available and choice != "cpu" else "cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 in hardware; elsewhere it is emulated and slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())  # torch 2.11 has no public way to ask


def mixed_precision(device: torch.device, *, enabled: bool = True) -> AbstractContextManager[None]:
    """Compute convolutions and products in bfloat16 where the hardware can."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and has_bfloat16(device))


def keep_freed_memory() -> None:
    """Let glibc keep what tensors free instead of asking the kernel for new, zeroed pages at every step.

    On the CPU a step of the CIFAR-10 network took a fifth less time for it (`benchmarks/training.py`).
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # never


def half_of_threads() -> int:
    """Return half of torch's threads, at least one: the student's, or its teacher's.

    Two threads each on two cores were slower than one each.
    """
    return max(1, torch.get_num_threads() // 2)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute with so many threads for as long as the block takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe_hardware(device: torch.device) -> str:
    """Name the processor or the GPU, as a table of results would."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{available_cores()} cores of {describe_processor()}"
