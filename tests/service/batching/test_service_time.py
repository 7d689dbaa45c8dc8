import numpy as np
import pytest

from service.batching.job import Batch
from service.batching.service_time import ServiceTimeEstimator

FULL = 4  # images


def batch(count=FULL, *, taken=0.0):
    return Batch(np.empty((FULL, 1), np.uint8), taken, count)


def pace(seconds_per_image, *, concurrency=1):
    return ServiceTimeEstimator(seconds_per_image, max_batch_size=FULL, concurrency=concurrency)


def test_it_begins_with_what_was_planned_for_all_batches_that_run_at_once():
    assert pace(6.0, concurrency=2).seconds_per_image == 3.0


def test_while_others_wait_an_image_takes_what_lies_between_two_batches():
    kept = pace(0.0)
    first, second = batch(taken=0.0), batch(taken=40.0)
    kept.on_batch_start(first, others_wait=True)
    kept.on_batch_done(first, 4.0)  # the other 36 seconds, the event loop was busy
    assert kept.seconds_per_image == 0.0
    kept.on_batch_start(second, others_wait=False)
    assert kept.seconds_per_image == pytest.approx(1.0)  # a tenth of the last batch's


def test_the_time_in_which_nobody_waited_counts_for_nothing():
    kept = pace(1.0)
    kept.on_batch_start(batch(taken=0.0), others_wait=False)
    kept.on_batch_start(batch(taken=40.0), others_wait=True)
    kept.reset()  # those who waited have left
    kept.on_batch_start(batch(taken=80.0), others_wait=True)
    assert kept.seconds_per_image == 1.0


@pytest.mark.parametrize(("count", "seconds_per_image"), [(FULL, 1.9), (FULL - 1, 1.0)])
def test_a_small_batch_does_not_say_that_images_take_longer(count, seconds_per_image):
    kept, alone = pace(1.0), batch(count)
    kept.on_batch_start(alone, others_wait=False)
    kept.on_batch_done(alone, 10.0 * count)
    assert kept.seconds_per_image == pytest.approx(seconds_per_image)


def test_a_small_batch_says_that_images_take_less():
    kept, alone = pace(1.0), batch(1)
    kept.on_batch_start(alone, others_wait=False)
    kept.on_batch_done(alone, 0.0)
    assert kept.seconds_per_image == pytest.approx(0.9)
