"""Admission of requests to a queue."""

import asyncio
from contextlib import nullcontext

import numpy as np
import pytest
from support.batches import image, one_running, one_waiting, submit

from service.batching.job import ModelFailed
from service.problems import Overloaded


class Clock:
    """A clock that a test advances, in seconds."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def test_request_with_more_images_than_room_is_refused(make_batcher, model):
    async def main():
        batcher = make_batcher(max_queue=5)
        running = await one_running(batcher, model)
        waiting = submit(batcher, [image(i) for i in range(4)])
        with pytest.raises(Overloaded, match=r"queue full: 4 images waiting \(limit 5\)"):
            submit(batcher, [image(0)] * 2)
        model.gate.set()
        await asyncio.gather(running.done, waiting.done)
        batcher.check_room(5)

    asyncio.run(main())
    assert sum(model.batch_sizes) == 5


def test_single_images_are_admitted_next_to_large_requests(make_batcher, model):
    async def main():
        batcher = make_batcher(max_queue=5)
        running = await one_running(batcher, model)
        jobs = [submit(batcher, [image(0)] * 5)]
        jobs += [submit(batcher, [image(i)]) for i in range(4)]
        with pytest.raises(Overloaded, match=r"queue full: 5 requests waiting \(limit 5\)"):
            submit(batcher, [image(9)])
        model.gate.set()
        await asyncio.gather(running.done, *(job.done for job in jobs))

    asyncio.run(main())
    assert sum(model.batch_sizes) == 10


def test_failed_batch_does_not_change_the_time_per_image(make_batcher, model):
    async def main():
        batcher = make_batcher(max_wait_s=5.0, seconds_per_image=10.0)
        with pytest.raises(ModelFailed):
            await submit(batcher, [image(255)] * 4).done
        async with one_waiting(batcher, model):
            with pytest.raises(Overloaded, match="expected wait 10000 ms behind 1 requests"):
                batcher.check_room()

    asyncio.run(main())


@pytest.mark.parametrize(("first", "refuses"), [(0, True), (255, False)])  # a failed batch is no measurement
def test_time_between_batches_counts_while_requests_wait(make_batcher, model, clock, first, refuses):
    async def main():
        batcher = make_batcher(max_wait_s=0.5, seconds_per_image=0.0, clock=clock)
        model.gate.clear()
        jobs = [submit(batcher, [image(value)]) for value in [first] + [0] * 11]
        await asyncio.sleep(0)  # four run, eight wait
        clock.advance(40)  # 10 s per image, weight 0.1; later batches take 0 s
        model.gate.set()
        await asyncio.gather(*(job.done for job in jobs), return_exceptions=True)
        waiting = submit(batcher, [image(0)])
        with pytest.raises(Overloaded, match=r"expected wait 8\d\d ms") if refuses else nullcontext():
            batcher.check_room()
        await waiting.done
        assert all((job.done.exception() is None) == refuses for job in jobs[:4])

    asyncio.run(main())


def test_request_is_refused_when_the_expected_wait_is_too_long(make_batcher, model):
    async def main():
        batcher = make_batcher(max_wait_s=1e-9)
        await submit(batcher, [image(0)] * 4).done  # sets the estimate
        running = await one_running(batcher, model)
        waiting = submit(batcher, [image(1)] * 3)  # no request is ahead of it
        with pytest.raises(Overloaded, match=r"expected wait \d+ ms behind 1 requests \(limit 0 ms\)"):
            submit(batcher, [image(0)])
        model.gate.set()
        await asyncio.gather(running.done, waiting.done)
        batcher.check_room(100)  # an idle model has no wait

    asyncio.run(main())


def test_idle_time_after_all_clients_left_does_not_count(make_batcher, model, clock):
    async def main():
        batcher, left = make_batcher(max_wait_s=1.0, seconds_per_image=0.01, clock=clock), False
        model.gate.clear()
        gone = [submit(batcher, [image(i)], client_left=lambda: left) for i in range(8)]
        await asyncio.sleep(0)  # four run, four wait
        left = True
        model.gate.set()
        await asyncio.gather(*(job.done for job in gone), return_exceptions=True)
        clock.advance(3600)
        await submit(batcher, [image(2)]).done
        async with one_waiting(batcher, model):
            batcher.check_room()

    asyncio.run(main())


def test_decoded_request_is_not_behind_later_headers(make_batcher, model):
    async def main():
        batcher = make_batcher(max_queue=1)
        jobs = [await one_running(batcher, model)]
        assert batcher.expect(asyncio.get_running_loop()) is None
        assert "1 requests waiting" in batcher.expect(asyncio.get_running_loop())
        jobs.append(submit(batcher, [image(1)]))
        model.gate.set()
        await asyncio.gather(*(job.done for job in jobs))

    asyncio.run(main())


async def admitted_in_one_turn(batcher):
    """Return how many new requests an empty queue admits."""
    loop = asyncio.get_running_loop()
    count = 0
    while batcher.expect(loop) is None:
        count += 1
    await asyncio.sleep(0)
    return count


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("full", [{"max_queue": 20, "max_wait_s": 100.0}, {"max_wait_s": 19.5}])
def test_full_queue_is_kept_short_while_requests_are_refused(make_batcher, clock, concurrency, full):
    async def main():
        batcher = make_batcher(
            max_batch_size=2, concurrency=concurrency, seconds_per_image=float(concurrency), clock=clock, **full
        )
        short = 2 * 2 * concurrency
        assert await admitted_in_one_turn(batcher) == 20
        clock.now = 100.04
        assert await admitted_in_one_turn(batcher) == 20  # admitted requests may still join
        for clock.now in np.linspace(100.06, 100.98, 12):
            assert await admitted_in_one_turn(batcher) == short
        clock.now = 101.01
        assert await admitted_in_one_turn(batcher) == 20  # refused clients retry
        clock.now = 101.07
        assert await admitted_in_one_turn(batcher) == short
        clock.now = 101.2
        assert await admitted_in_one_turn(batcher) == 20  # the burst is over

    asyncio.run(main())


def test_request_admitted_before_the_queue_is_short_is_queued(make_batcher, model, clock):
    async def main():
        batcher, loop = make_batcher(max_batch_size=2, max_queue=10, clock=clock), asyncio.get_running_loop()
        jobs = [await one_running(batcher, model)]
        jobs += [submit(batcher, [image(i)]) for i in range(8)]
        assert [batcher.expect(loop) is None for _ in range(3)] == [True, True, False]
        await asyncio.sleep(0)
        batcher.check_room()
        jobs.append(submit(batcher, [image(8)]))
        clock.now += 0.06
        with pytest.raises(Overloaded, match=r"queue full: 9 requests waiting \(limit 4\)"):
            batcher.check_room()
        jobs.append(submit(batcher, [image(9)]))  # admitted earlier, decoded in the meantime
        model.gate.set()
        await asyncio.gather(*(job.done for job in jobs))

    asyncio.run(main())


@pytest.mark.parametrize(("concurrency", "milliseconds"), [(1, 3000), (2, 1500)])
def test_expected_wait_counts_requests_not_images(make_batcher, model, concurrency, milliseconds):
    async def main():
        batcher = make_batcher(concurrency=concurrency, max_wait_s=2.0 / concurrency, seconds_per_image=1.0)
        model.gate.clear()
        jobs = [submit(batcher, [image(0)] * concurrency)]
        await asyncio.sleep(0)
        jobs += [submit(batcher, [image(0)] * 20) for _ in range(3)]
        with pytest.raises(Overloaded, match=f"expected wait {milliseconds} ms behind 3 requests"):
            batcher.check_room()
        model.gate.set()
        await asyncio.gather(*(job.done for job in jobs))

    asyncio.run(main())
