"""Batches of requests, and the predictions of each request."""

import asyncio
import threading

import pytest
from support.batches import image, one_running, submit, values

from service.batching.batcher import AT_ONCE_S, TURN_S
from service.batching.job import ClientLeft, DeadlinePassed, ModelFailed
from service.prediction import Prediction


@pytest.mark.parametrize("concurrency", [0, 1])
def test_requests_of_one_loop_iteration_share_a_batch(make_batcher, model, concurrency):
    async def main():
        batcher = make_batcher(concurrency=concurrency)
        jobs = [submit(batcher, [image(i)]) for i in range(4)]
        await asyncio.gather(*(job.done for job in jobs))
        return [values(job) for job in jobs]

    assert asyncio.run(main()) == [[0.0], [1.0], [2.0], [3.0]]
    assert model.batch_sizes == [4]


def test_requests_that_arrive_during_a_batch_form_the_next_one(make_batcher, model):
    async def main():
        batcher = make_batcher()
        first = await one_running(batcher, model, 1)  # the first batch is running
        rest = [submit(batcher, [image(i)]) for i in range(3)]
        model.gate.set()
        await asyncio.gather(first.done, *(job.done for job in rest))

    asyncio.run(main())
    assert model.batch_sizes == [1, 3]


def test_lone_request_runs_after_one_loop_iteration(make_batcher, model):
    async def main():
        job = submit(make_batcher(concurrency=0), [image(1)])
        await asyncio.sleep(0)
        assert job.done.done()

    asyncio.run(main())
    assert model.batch_sizes == [1]


def test_full_inline_batch_runs_at_once(make_batcher, model):
    async def main():
        batcher = make_batcher(concurrency=0)
        jobs = [submit(batcher, [image(i)]) for i in range(6)]
        done = [job.done.done() for job in jobs]
        await asyncio.gather(*(job.done for job in jobs))
        return done

    assert asyncio.run(main()) == [True] * 4 + [False] * 2
    assert model.batch_sizes == [4, 2]


@pytest.mark.parametrize(
    ("batch_s", "at_once", "later"),
    [(0.0, 5, 0), (0.6 * AT_ONCE_S, 2, 3), (2 * AT_ONCE_S, 1, 4), (0.6 * TURN_S, 1, 2), (2 * TURN_S, 1, 1)],
)
def test_inline_batches_of_one_iteration_have_a_time_limit(make_batcher, model, batch_s, at_once, later):
    now, run = [100.0], model.run

    def run_slowly(images):
        now[0] += batch_s
        return run(images)

    model.run = run_slowly

    async def main():
        batcher = make_batcher(concurrency=0, clock=lambda: now[0])
        jobs = [submit(batcher, [image(0)]) for _ in range(20)]
        counts = [len(model.batch_sizes)]
        while not all(job.done.done() for job in jobs):
            await asyncio.sleep(0)
            counts.append(len(model.batch_sizes))
        return [after - before for before, after in zip([0, *counts], counts, strict=False)]

    found = asyncio.run(main())
    assert found[0] == at_once
    assert max(found[1:], default=0) == later
    assert sum(found) == 5


@pytest.mark.parametrize("concurrency", [0, 1])
def test_request_larger_than_a_batch_keeps_its_order(make_batcher, model, concurrency):
    async def main():
        batcher = make_batcher(concurrency=concurrency)
        small = submit(batcher, [image(100)])
        large = submit(batcher, [image(i) for i in range(10)])
        last = submit(batcher, [image(200)])
        await asyncio.gather(small.done, large.done, last.done)
        return values(small), values(large), values(last)

    assert asyncio.run(main()) == ([100.0], [float(i) for i in range(10)], [200.0])
    assert model.batch_sizes == [4, 4, 4]


def test_queued_images_are_split_over_the_free_threads(make_batcher, model):
    async def main():
        batcher = make_batcher(concurrency=3)
        first = await one_running(batcher, model, 1)
        second = submit(batcher, [image(i) for i in range(5)])
        await asyncio.sleep(0)  # all three threads are busy
        third = submit(batcher, [image(9)] * 4)
        await asyncio.sleep(0)
        model.gate.set()
        await asyncio.gather(first.done, second.done, third.done)

    asyncio.run(main())
    assert sorted(model.batch_sizes) == [1, 2, 3, 4]


def test_request_keeps_its_order_when_its_last_batch_ends_first(make_batcher, model):
    first_image_may_end, others_ended = threading.Event(), threading.Event()

    def run(images):
        if images[0, 0, 0] == 0:
            assert first_image_may_end.wait(60)
        elif images[0, 0, 0] == 8:
            others_ended.set()
        return [Prediction([float(image[0, 0])]) for image in images]

    model.run = run

    async def main():
        batcher = make_batcher(concurrency=2)
        job = submit(batcher, [image(i) for i in range(12)])
        await asyncio.get_running_loop().run_in_executor(None, others_ended.wait, 10)
        await asyncio.sleep(0)
        assert not job.done.done()
        first_image_may_end.set()
        await job.done
        return values(job)

    assert asyncio.run(main()) == [float(i) for i in range(12)]


def test_request_fails_when_one_of_its_batches_fails(make_batcher, model):
    others_may_end = threading.Event()

    def run(images):
        if images[0, 0, 0] == 0:
            raise RuntimeError("boom")
        assert others_may_end.wait(60)
        return [Prediction([1.0])] * len(images)

    model.run = run

    async def main():
        batcher = make_batcher(concurrency=2)
        job = submit(batcher, [image(i) for i in range(8)])
        with pytest.raises(ModelFailed):
            await job.done
        others_may_end.set()
        later = submit(batcher, [image(7)])
        await later.done
        return values(later)

    assert asyncio.run(main()) == [1.0]


def test_large_request_shares_its_batches_with_later_requests(make_batcher, model):
    async def main():
        batcher = make_batcher()
        running = await one_running(batcher, model)
        large = submit(batcher, [image(i) for i in range(10)])
        small = [submit(batcher, [image(100 + i)]) for i in range(2)]
        model.gate.set()
        await asyncio.gather(running.done, *(job.done for job in small))
        assert not large.done.done()
        await large.done
        return values(large), [values(job) for job in small]

    assert asyncio.run(main()) == ([float(i) for i in range(10)], [[100.0], [101.0]])
    assert model.batch_sizes == [1, 4, 4, 4]


def test_abandoned_requests_are_not_run(make_batcher, model):
    async def main():
        batcher = make_batcher()
        running = await one_running(batcher, model)
        expired = submit(batcher, [image(1)])
        gone = submit(batcher, [image(2)], client_left=lambda: True)
        alive = submit(batcher, [image(3)])
        expired.job.abandon()
        model.gate.set()
        with pytest.raises(ClientLeft):
            await gone.done
        await asyncio.gather(running.done, alive.done)
        batcher.check_room(100)  # dropped requests take no room
        return values(alive)

    assert asyncio.run(main()) == [3.0]
    assert model.batch_sizes == [1, 1]


def test_request_is_dropped_when_its_time_is_over(make_batcher, model):
    async def main():
        batcher = make_batcher()
        running = await one_running(batcher, model)
        late = submit(batcher, [image(1)], timeout_s=0.0)
        alive = submit(batcher, [image(2)], timeout_s=60.0)
        model.gate.set()
        with pytest.raises(DeadlinePassed):
            await late.done
        await asyncio.gather(running.done, alive.done)
        return values(alive)

    assert asyncio.run(main()) == [2.0]
    assert model.batch_sizes == [1, 1]


def test_cancelled_prediction_is_not_run(make_batcher, model):
    async def main():
        batcher = make_batcher()
        running = await one_running(batcher, model)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher.predict([image(1)], client_left=lambda: False), 0.01)
        model.gate.set()
        await running.done
        return values(await batcher.predict([image(3)], client_left=lambda: False))

    assert asyncio.run(main()) == [3.0]
    assert model.batch_sizes == [1, 1]


@pytest.mark.parametrize("concurrency", [0, 1])
def test_failed_batch_does_not_fail_later_requests(make_batcher, concurrency):
    async def main():
        batcher = make_batcher(concurrency=concurrency)
        bad = submit(batcher, [image(255)])
        with pytest.raises(ModelFailed):
            await bad.done
        good = submit(batcher, [image(1)])
        await good.done
        return values(good)

    assert asyncio.run(main()) == [1.0]


def test_failed_batch_ends_a_large_request(make_batcher, model):
    async def main():
        batcher = make_batcher()
        job = submit(batcher, [image(255), *[image(1)] * 9])
        with pytest.raises(ModelFailed):
            await job.done
        after = submit(batcher, [image(1)])
        await after.done

    asyncio.run(main())
    assert model.batch_sizes == [4, 1]
