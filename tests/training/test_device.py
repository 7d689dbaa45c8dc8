"""Where training computes, and in which precision."""

import pytest
import torch

from models.hardware import available_cores
from training.device import (
    DeviceError,
    choose_device,
    describe_hardware,
    half_of_threads,
    has_bfloat16,
    mixed_precision,
    threads,
)

CPU = torch.device("cpu")


def test_products_are_bfloat16_only_where_the_processor_has_it():
    with mixed_precision(CPU):
        product = torch.ones(8, 8) @ torch.ones(8, 8)
    assert product.dtype == (torch.bfloat16 if has_bfloat16(CPU) else torch.float32)


def test_a_recipe_can_ask_for_float32():
    with mixed_precision(CPU, enabled=False):
        assert (torch.ones(8, 8) @ torch.ones(8, 8)).dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_auto_is_the_cpu_where_there_is_no_gpu_and_cuda_is_refused():
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(DeviceError, match=r"--device cuda: torch .* sees no GPU here; use --device auto or cpu"):
        choose_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_auto_is_the_gpu_where_there_is_one():
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    assert choose_device("cpu") == CPU


def test_the_hardware_has_a_name_and_its_cores():
    assert describe_hardware(CPU).startswith(f"{available_cores()} cores of ")


def test_threads_are_lent_for_a_block_and_given_back():
    with threads(4):
        with threads(half_of_threads()):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 4
        with threads(1):
            assert half_of_threads() == 1
