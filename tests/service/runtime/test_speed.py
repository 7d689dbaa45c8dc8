"""Timing of batches and choice of the batch size."""

from types import SimpleNamespace

import pytest

from service.runtime.planning import measure_batch, time_batch


def timed(run_blank, *, device="cpu"):
    """Return a model whose run of N images takes ``run_blank(N)`` seconds."""
    return SimpleNamespace(device=device, run_blank=run_blank)


@pytest.mark.parametrize(("seconds_per_image", "size"), [(1e-6, 64), (0.001, 20), (0.5, 1)])
def test_batch_size_on_the_cpu_is_limited_by_time(seconds_per_image, size):
    model = timed(lambda count: count * seconds_per_image)
    assert measure_batch(model, 64) == (size, pytest.approx(size * seconds_per_image))


def test_batch_size_on_a_gpu_is_not_limited_by_time():
    assert measure_batch(timed(float, device="cuda"), 64) == (64, 64.0)


def test_first_run_of_a_size_on_a_gpu_is_not_timed():
    durations = iter([0.05, 0.0006, *[0.0005] * 50])
    assert time_batch(timed(lambda _count: next(durations), device="cuda"), 64) == 0.0005


def test_largest_batch_is_timed_directly():
    model = timed(lambda count: 1e-4 + count * 1e-6)  # mostly the cost of waking threads
    assert measure_batch(model, 64) == (64, pytest.approx(1.64e-4))


def test_batch_size_does_not_exceed_the_setting():
    assert measure_batch(timed(lambda count: count * 1e-6), 3)[0] == 3
