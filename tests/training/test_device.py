"""Device, precision and threads of training."""

import platform
from pathlib import Path

import pytest
import torch

from models.hardware import available_cores
from training.device import (
    DeviceError,
    choose_device,
    describe_hardware,
    half_of_threads,
    limit_threads,
    mixed_precision,
    supports_bfloat16,
)
from training.plurals import describe_count

CPU = torch.device("cpu")
CPU_INFO = Path("/proc/cpuinfo")


@pytest.mark.skipif(not CPU_INFO.exists() or platform.machine() != "x86_64", reason="needs the flags of an x86-64 CPU")
def test_bfloat16_support_agrees_with_the_processor_flags():
    assert supports_bfloat16(CPU) == ("avx512_bf16" in CPU_INFO.read_text().split())


def test_mixed_precision_uses_bfloat16_only_if_supported():
    with mixed_precision(CPU):
        product = torch.ones(8, 8) @ torch.ones(8, 8)
    assert product.dtype == (torch.bfloat16 if supports_bfloat16(CPU) else torch.float32)


def test_mixed_precision_can_be_disabled():
    with mixed_precision(CPU, enabled=False):
        assert (torch.ones(8, 8) @ torch.ones(8, 8)).dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_choose_device_uses_the_cpu_and_rejects_cuda_without_gpu():
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(DeviceError, match=r"--device cuda: torch .* sees no GPU; use --device auto or cpu"):
        choose_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_choose_device_uses_the_gpu_if_there_is_one():
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    assert choose_device("cpu") == CPU


def test_describe_hardware_names_the_cores():
    assert describe_hardware(CPU).startswith(f"{describe_count(available_cores(), 'core')} of ")


def test_threads_are_limited_within_a_block_and_restored():
    with limit_threads(4):
        with limit_threads(half_of_threads()):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 4
        with limit_threads(1):
            assert half_of_threads() == 1
