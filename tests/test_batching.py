import asyncio
import threading
import time
from contextlib import asynccontextmanager, nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from service.batching import Batcher
from service.classifier import Answer
from service.jobs import ClientLeft, ModelFailed
from service.metrics import ModelMetrics
from service.problems import Overloaded

SHAPE = (2, 2)


class Model:
    """A model that answers an image with its own first pixel, and runs no batch before its gate opens."""

    def __init__(self):
        self.batch_sizes = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, images):
        assert self.gate.wait(10)
        self.batch_sizes.append(len(images))
        if (images == 255).any():
            raise RuntimeError("boom")
        return [Answer([float(image[0, 0])]) for image in images]


def image(value):
    return np.full(SHAPE, value, np.uint8)


def stays():
    return False


def values(job):
    return [answer.probabilities[0] for answer in job.answers]


@asynccontextmanager
async def one_waiting(batcher, model):
    """Let a request run and another wait until the block ends."""
    model.gate.clear()
    jobs = [batcher.submit([image(0)], client_left=stays)]
    await asyncio.sleep(0)
    jobs.append(batcher.submit([image(1)], client_left=stays))
    yield
    model.gate.set()
    await asyncio.gather(*(job.done for job in jobs))


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def make_batcher(model):
    made = []

    def make(*, streams=1, max_batch_size=4, max_queue=100, max_wait_s=10.0, seconds_per_image=0.0):
        metrics = ModelMetrics("batching", "1")
        batcher = Batcher(
            model.run,
            image_shape=SHAPE,
            max_batch_size=max_batch_size,
            max_queue=max_queue,
            max_wait_s=max_wait_s,
            seconds_per_image=seconds_per_image,
            streams=streams,
            metrics=metrics,
        )
        made.append(batcher)
        return batcher

    yield make
    model.gate.set()
    for batcher in made:
        batcher.close()


@pytest.mark.parametrize("streams", [0, 1])
def test_requests_of_one_turn_of_the_loop_share_a_batch_and_get_their_own_rows(make_batcher, model, streams):
    async def main():
        batcher = make_batcher(streams=streams)
        jobs = [batcher.submit([image(i)], client_left=stays) for i in range(4)]
        await asyncio.gather(*(job.done for job in jobs))
        return [values(job) for job in jobs]

    assert asyncio.run(main()) == [[0.0], [1.0], [2.0], [3.0]]
    assert model.batch_sizes == [4]


def test_what_arrives_while_a_batch_runs_goes_together_afterwards(make_batcher, model):
    async def main():
        batcher = make_batcher()
        model.gate.clear()
        first = batcher.submit([image(1)], client_left=stays)
        await asyncio.sleep(0)  # the first batch is under way
        rest = [batcher.submit([image(i)], client_left=stays) for i in range(3)]
        model.gate.set()
        await asyncio.gather(first.done, *(job.done for job in rest))

    asyncio.run(main())
    assert model.batch_sizes == [1, 3]


def test_a_lone_request_waits_one_turn_of_the_loop_and_for_no_company(make_batcher, model):
    async def main():
        job = make_batcher(streams=0).submit([image(1)], client_left=stays)
        await asyncio.sleep(0)
        assert job.done.done()

    asyncio.run(main())
    assert model.batch_sizes == [1]


@pytest.mark.parametrize("streams", [0, 1])
def test_a_request_larger_than_a_batch_is_split_and_comes_back_in_order(make_batcher, model, streams):
    async def main():
        batcher = make_batcher(streams=streams)
        small = batcher.submit([image(100)], client_left=stays)
        large = batcher.submit([image(i) for i in range(10)], client_left=stays)
        last = batcher.submit([image(200)], client_left=stays)
        await asyncio.gather(small.done, large.done, last.done)
        return values(small), values(large), values(last)

    assert asyncio.run(main()) == ([100.0], [float(i) for i in range(10)], [200.0])
    assert model.batch_sizes == [4, 4, 4]


def test_what_waits_is_shared_out_to_the_streams_that_are_free(make_batcher, model):
    async def main():
        batcher = make_batcher(streams=3)
        model.gate.clear()
        first = batcher.submit([image(1)], client_left=stays)
        await asyncio.sleep(0)
        second = batcher.submit([image(i) for i in range(5)], client_left=stays)
        await asyncio.sleep(0)  # all three are at work
        third = batcher.submit([image(9)] * 4, client_left=stays)
        await asyncio.sleep(0)
        model.gate.set()
        await asyncio.gather(first.done, second.done, third.done)

    asyncio.run(main())
    assert sorted(model.batch_sizes) == [1, 2, 3, 4]


def test_a_request_comes_back_in_order_though_its_last_batch_ends_first(make_batcher, model):
    first_image_may_end, others_ended = threading.Event(), threading.Event()

    def run(images):
        if images[0, 0, 0] == 0:
            assert first_image_may_end.wait(10)
        elif images[0, 0, 0] == 8:
            others_ended.set()
        return [Answer([float(image[0, 0])]) for image in images]

    model.run = run

    async def main():
        batcher = make_batcher(streams=2)
        job = batcher.submit([image(i) for i in range(12)], client_left=stays)
        await asyncio.get_running_loop().run_in_executor(None, others_ended.wait, 10)
        await asyncio.sleep(0)
        assert not job.done.done()
        first_image_may_end.set()
        await job.done
        return values(job)

    assert asyncio.run(main()) == [float(i) for i in range(12)]


def test_a_request_whose_batch_failed_fails_though_another_of_its_batches_ends_later(make_batcher, model):
    others_may_end = threading.Event()

    def run(images):
        if images[0, 0, 0] == 0:
            raise RuntimeError("boom")
        assert others_may_end.wait(10)
        return [Answer([1.0])] * len(images)

    model.run = run

    async def main():
        batcher = make_batcher(streams=2)
        job = batcher.submit([image(i) for i in range(8)], client_left=stays)
        with pytest.raises(ModelFailed):
            await job.done
        others_may_end.set()
        later = batcher.submit([image(7)], client_left=stays)
        await later.done
        return values(later)

    assert asyncio.run(main()) == [1.0]


def test_the_queue_counts_images_and_refuses_a_request_whole(make_batcher, model):
    async def main():
        batcher = make_batcher(max_queue=5)
        model.gate.clear()
        running = batcher.submit([image(0)], client_left=stays)
        await asyncio.sleep(0)
        waiting = batcher.submit([image(i) for i in range(4)], client_left=stays)
        with pytest.raises(Overloaded, match="4 images are waiting, at most 5"):
            batcher.submit([image(0)] * 2, client_left=stays)
        model.gate.set()
        await asyncio.gather(running.done, waiting.done)
        batcher.check_room(5)

    asyncio.run(main())
    assert sum(model.batch_sizes) == 5


def test_single_images_find_room_beside_large_requests_until_there_are_too_many_of_them(make_batcher, model):
    async def main():
        batcher = make_batcher(max_queue=5)
        model.gate.clear()
        running = batcher.submit([image(0)], client_left=stays)
        await asyncio.sleep(0)
        jobs = [batcher.submit([image(0)] * 5, client_left=stays)]
        jobs += [batcher.submit([image(i)], client_left=stays) for i in range(4)]
        with pytest.raises(Overloaded, match="5 requests are waiting, the most that may"):
            batcher.submit([image(9)], client_left=stays)
        model.gate.set()
        await asyncio.gather(running.done, *(job.done for job in jobs))

    asyncio.run(main())
    assert sum(model.batch_sizes) == 10


def test_a_failed_batch_says_nothing_of_the_time_an_image_takes(make_batcher, model):
    async def main():
        batcher = make_batcher(max_wait_s=5.0, seconds_per_image=10.0)
        with pytest.raises(ModelFailed):
            await batcher.submit([image(255)] * 4, client_left=stays).done
        async with one_waiting(batcher, model):
            with pytest.raises(Overloaded, match="1 requests are waiting, for about 10000 ms"):
                batcher.check_room()

    asyncio.run(main())


@pytest.mark.parametrize(("first", "refuses"), [(0, True), (255, False)])  # of a batch that fails nothing is learned
def test_while_others_wait_an_image_takes_what_lies_between_two_batches(make_batcher, monkeypatch, first, refuses):
    async def main():
        batcher = make_batcher(streams=0, max_wait_s=0.5, seconds_per_image=0.0)
        jobs = [batcher.submit([image(value)], client_left=stays) for value in [first] + [0] * 11]
        later = time.perf_counter() + 40  # 10 s an image, a tenth of which counts; the batches after it take no time
        clock = "service.batching.time.perf_counter"
        jobs[0].done.add_done_callback(lambda _: monkeypatch.setattr(clock, lambda: later))
        await asyncio.gather(*(job.done for job in jobs), return_exceptions=True)
        waiting = batcher.submit([image(0)], client_left=stays)
        with pytest.raises(Overloaded, match=r"for about 8\d\d ms") if refuses else nullcontext():
            batcher.check_room()
        await waiting.done
        assert all((job.done.exception() is None) == refuses for job in jobs[:4])

    asyncio.run(main())


def test_a_request_that_would_wait_too_long_is_refused_at_once(make_batcher, model):
    async def main():
        batcher = make_batcher(max_wait_s=1e-9)
        await batcher.submit([image(0)] * 4, client_left=stays).done  # by which it knows how long an image takes
        model.gate.clear()
        running = batcher.submit([image(0)], client_left=stays)
        await asyncio.sleep(0)
        waiting = batcher.submit([image(1)] * 3, client_left=stays)  # nobody is ahead of it
        with pytest.raises(Overloaded, match=r"1 requests are waiting, for about \d+ ms, at most 0 ms"):
            batcher.submit([image(0)], client_left=stays)
        model.gate.set()
        await asyncio.gather(running.done, waiting.done)
        batcher.check_room(100)  # whatever an idle model is sent, it begins

    asyncio.run(main())


def test_the_time_after_everybody_has_left_is_nobodys_wait(make_batcher, model, monkeypatch):
    async def main():
        batcher, left = make_batcher(max_wait_s=1.0, seconds_per_image=0.01), False
        model.gate.clear()
        gone = [batcher.submit([image(i)], client_left=lambda: left) for i in range(8)]
        await asyncio.sleep(0)  # half of them run, and leave the others waiting
        left = True
        model.gate.set()
        await asyncio.gather(*(job.done for job in gone), return_exceptions=True)
        later = time.perf_counter() + 3600
        monkeypatch.setattr("service.batching.time.perf_counter", lambda: later)
        await batcher.submit([image(2)], client_left=stays).done
        async with one_waiting(batcher, model):
            batcher.check_room()

    asyncio.run(main())


def test_who_was_decoded_is_not_behind_those_whose_heads_came_later(make_batcher, model):
    async def main():
        batcher = make_batcher(max_queue=1)
        model.gate.clear()
        jobs = [batcher.submit([image(0)], client_left=stays)]
        await asyncio.sleep(0)
        assert batcher.expect(asyncio.get_running_loop()) is None
        assert "1 requests are waiting" in batcher.expect(asyncio.get_running_loop())
        jobs.append(batcher.submit([image(1)], client_left=stays))
        model.gate.set()
        await asyncio.gather(*(job.done for job in jobs))

    asyncio.run(main())


@pytest.fixture
def clock(monkeypatch):
    """Seconds by which a queue's refusals are told apart, to be set."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("service.admission.monotonic", lambda: clock.now)
    return clock


async def admitted_in_one_turn(batcher):
    """Return how many of many newcomers an empty queue has room for."""
    loop = asyncio.get_running_loop()
    count = 0
    while batcher.expect(loop) is None:
        count += 1
    await asyncio.sleep(0)
    return count


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("full", [{"max_queue": 20}, {"max_wait_s": 19.5, "seconds_per_image": 1.0}])
def test_a_queue_that_was_full_is_kept_short_while_others_are_refused(make_batcher, clock, streams, full):
    async def main():
        if "max_wait_s" in full:
            full["seconds_per_image"] = float(streams)
        batcher = make_batcher(max_batch_size=2, streams=streams, **full)
        short = 2 * 2 * streams
        assert await admitted_in_one_turn(batcher) == 20
        clock.now = 100.04
        assert await admitted_in_one_turn(batcher) == 20  # who was given a place joins first
        for clock.now in np.linspace(100.06, 100.98, 12):
            assert await admitted_in_one_turn(batcher) == short
        clock.now = 101.01
        assert await admitted_in_one_turn(batcher) == 20  # the refused come back
        clock.now = 101.07
        assert await admitted_in_one_turn(batcher) == short
        clock.now = 101.2
        assert await admitted_in_one_turn(batcher) == 20  # the burst is over

    asyncio.run(main())


def test_who_was_given_a_place_before_the_queue_is_kept_short_has_it(make_batcher, model, clock):
    async def main():
        batcher, loop = make_batcher(max_batch_size=2, max_queue=10), asyncio.get_running_loop()
        model.gate.clear()
        jobs = [batcher.submit([image(0)], client_left=stays)]
        await asyncio.sleep(0)
        jobs += [batcher.submit([image(i)], client_left=stays) for i in range(8)]
        assert [batcher.expect(loop) is None for _ in range(3)] == [True, True, False]
        await asyncio.sleep(0)
        batcher.check_room()
        jobs.append(batcher.submit([image(8)], client_left=stays))
        clock.now += 0.06
        with pytest.raises(Overloaded, match="9 requests are waiting, at most 4 may for now"):
            batcher.check_room()
        jobs.append(batcher.submit([image(9)], client_left=stays))  # it was decoded meanwhile
        model.gate.set()
        await asyncio.gather(*(job.done for job in jobs))

    asyncio.run(main())


def test_a_large_request_shares_every_batch_with_those_that_came_later(make_batcher, model):
    async def main():
        batcher = make_batcher()
        model.gate.clear()
        running = batcher.submit([image(0)], client_left=stays)
        await asyncio.sleep(0)
        large = batcher.submit([image(i) for i in range(10)], client_left=stays)
        small = [batcher.submit([image(100 + i)], client_left=stays) for i in range(2)]
        model.gate.set()
        await asyncio.gather(running.done, *(job.done for job in small))
        assert not large.done.done()
        await large.done
        return values(large), [values(job) for job in small]

    assert asyncio.run(main()) == ([float(i) for i in range(10)], [[100.0], [101.0]])
    assert model.batch_sizes == [1, 4, 4, 4]


@pytest.mark.parametrize(("streams", "milliseconds"), [(1, 3000), (2, 1500)])
def test_the_wait_is_that_for_a_turn_however_many_images_are_ahead(make_batcher, model, streams, milliseconds):
    async def main():
        batcher = make_batcher(streams=streams, max_wait_s=2.0 / streams, seconds_per_image=1.0)
        model.gate.clear()
        jobs = [batcher.submit([image(0)] * streams, client_left=stays)]
        await asyncio.sleep(0)
        jobs += [batcher.submit([image(0)] * 20, client_left=stays) for _ in range(3)]
        with pytest.raises(Overloaded, match=f"3 requests are waiting, for about {milliseconds} ms"):
            batcher.check_room()
        model.gate.set()
        await asyncio.gather(*(job.done for job in jobs))

    asyncio.run(main())


def test_requests_that_nobody_waits_for_cost_no_compute(make_batcher, model):
    async def main():
        batcher = make_batcher()
        model.gate.clear()
        running = batcher.submit([image(0)], client_left=stays)
        await asyncio.sleep(0)
        expired = batcher.submit([image(1)], client_left=stays)
        gone = batcher.submit([image(2)], client_left=lambda: True)
        alive = batcher.submit([image(3)], client_left=stays)
        expired.done.cancel()
        model.gate.set()
        with pytest.raises(ClientLeft):
            await gone.done
        await asyncio.gather(running.done, alive.done)
        batcher.check_room(100)  # the dropped ones hold no place
        return values(alive)

    assert asyncio.run(main()) == [3.0]
    assert model.batch_sizes == [1, 1]


@pytest.mark.parametrize("streams", [0, 1])
def test_a_failing_batch_fails_its_own_requests_and_no_later_one(make_batcher, streams):
    async def main():
        batcher = make_batcher(streams=streams)
        bad = batcher.submit([image(255)], client_left=stays)
        with pytest.raises(ModelFailed):
            await bad.done
        good = batcher.submit([image(1)], client_left=stays)
        await good.done
        return values(good)

    assert asyncio.run(main()) == [1.0]


def test_a_failure_in_the_middle_of_a_large_request_fails_it_once(make_batcher, model):
    async def main():
        batcher = make_batcher()
        job = batcher.submit([image(255), *[image(1)] * 9], client_left=stays)
        with pytest.raises(ModelFailed):
            await job.done
        after = batcher.submit([image(1)], client_left=stays)
        await after.done

    asyncio.run(main())
    assert model.batch_sizes == [4, 1]
