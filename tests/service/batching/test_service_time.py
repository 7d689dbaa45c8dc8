import numpy as np
import pytest

from service.batching.job import Batch
from service.batching.service_time import ServiceTimeEstimator

FULL = 4  # images


def batch(count=FULL, *, taken=0.0):
    return Batch(np.empty((FULL, 1), np.uint8), taken, count)


def estimator(seconds_per_image, *, concurrency=1):
    return ServiceTimeEstimator(seconds_per_image, max_batch_size=FULL, concurrency=concurrency)


def test_estimate_starts_at_the_planned_time_over_concurrency():
    assert estimator(6.0, concurrency=2).seconds_per_image == 3.0


def test_time_between_batches_counts_while_requests_wait():
    estimate = estimator(0.0)
    first, second = batch(taken=0.0), batch(taken=40.0)
    estimate.on_batch_start(first, others_wait=True)
    estimate.on_batch_done(first, 4.0)  # the event loop was busy for the other 36 s
    assert estimate.seconds_per_image == 0.0
    estimate.on_batch_start(second, others_wait=False)
    assert estimate.seconds_per_image == pytest.approx(1.0)  # weight 0.1 of 10 s per image


def test_idle_time_does_not_count():
    estimate = estimator(1.0)
    estimate.on_batch_start(batch(taken=0.0), others_wait=False)
    estimate.on_batch_start(batch(taken=40.0), others_wait=True)
    estimate.reset()  # all waiting clients have left
    estimate.on_batch_start(batch(taken=80.0), others_wait=True)
    assert estimate.seconds_per_image == 1.0


@pytest.mark.parametrize(("count", "seconds_per_image"), [(FULL, 1.9), (FULL - 1, 1.0)])
def test_small_batch_does_not_raise_the_estimate(count, seconds_per_image):
    estimate, small = estimator(1.0), batch(count)
    estimate.on_batch_start(small, others_wait=False)
    estimate.on_batch_done(small, 10.0 * count)
    assert estimate.seconds_per_image == pytest.approx(seconds_per_image)


def test_small_batch_lowers_the_estimate():
    estimate, small = estimator(1.0), batch(1)
    estimate.on_batch_start(small, others_wait=False)
    estimate.on_batch_done(small, 0.0)
    assert estimate.seconds_per_image == pytest.approx(0.9)
