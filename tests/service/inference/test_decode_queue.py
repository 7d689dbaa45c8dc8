"""Order, admission and deadlines of the threads that decode images."""

import asyncio
import threading

import pytest

from service.inference.decode_queue import CHEAP_S, DecodeQueue
from service.problems import Overloaded

COSTLY_S = 1.0


@pytest.fixture
def make_queue():
    queues = []

    def make(*, threads=1, max_wait_s=100.0, deadline_s=100.0, clock=lambda: 0.0):
        queues.append(DecodeQueue(threads, max_wait_s=max_wait_s, deadline_s=deadline_s, clock=clock))
        return queues[-1]

    yield make
    for queue in queues:
        queue.close()


def blocked(gate, log, name):
    """Return a function that waits for the gate and then notes its name."""

    def run():
        assert gate.wait(60)
        log.append(name)
        return name

    return run


def test_cheaper_images_are_decoded_first(make_queue, gate):
    queue, log = make_queue(), []

    async def main():
        costs = {"first": COSTLY_S, "dear": 3.0, "medium": 2.0, "cheap": 1.5}
        calls = [asyncio.ensure_future(queue.run(blocked(gate, log, name), expected_s=costs[name])) for name in costs]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*calls)

    assert asyncio.run(main()) == ["first", "dear", "medium", "cheap"]
    assert log == ["first", "cheap", "medium", "dear"]


def test_one_thread_is_kept_for_cheap_images(make_queue, gate):
    queue = make_queue(threads=2)

    async def main():
        costly = [asyncio.ensure_future(queue.run(gate.wait, expected_s=COSTLY_S)) for _ in range(5)]
        await asyncio.sleep(0)
        cheap = [await queue.run(lambda: "cheap", expected_s=CHEAP_S) for _ in range(5)]
        gate.set()
        return cheap, await asyncio.gather(*costly)

    assert asyncio.run(main()) == (["cheap"] * 5, [True] * 5)


def test_image_with_a_long_expected_wait_is_refused(make_queue, gate):
    queue = make_queue(threads=2, max_wait_s=2.0)

    async def main():
        admitted = [asyncio.ensure_future(queue.run(gate.wait, expected_s=2.0)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=r"expected wait 3000 ms until the image is decoded \(limit 2000 ms\)"):
            await queue.run(gate.wait, expected_s=2.0)
        cheaper = asyncio.ensure_future(queue.run(gate.wait, expected_s=1.0))  # goes in front of those that wait
        known = asyncio.ensure_future(queue.run(gate.wait, expected_s=2.0, is_new=False))
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*admitted, cheaper, known)

    assert asyncio.run(main()) == [True] * 5


def test_expected_wait_follows_the_measured_time(make_queue, gate):
    now = 0.0
    queue = make_queue(max_wait_s=2.0, clock=lambda: now)

    def take(seconds):
        nonlocal now
        now += seconds

    async def main():
        for _ in range(20):
            await queue.run(lambda: take(10), expected_s=COSTLY_S)
        running = asyncio.ensure_future(queue.run(gate.wait, expected_s=COSTLY_S))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await queue.run(gate.wait, expected_s=COSTLY_S)
        gate.set()
        await running

    asyncio.run(main())


def test_a_stuck_thread_is_replaced_after_the_deadline(make_queue, gate):
    queue = make_queue(deadline_s=0.01)

    async def main():
        stuck = asyncio.ensure_future(queue.run(gate.wait, expected_s=COSTLY_S))
        assert await queue.run(lambda: "next", expected_s=COSTLY_S) == "next"
        gate.set()
        return await stuck

    assert asyncio.run(main())


def test_image_of_an_ended_request_is_not_decoded(make_queue, gate):
    queue, log = make_queue(), []

    async def main():
        running = asyncio.ensure_future(queue.run(gate.wait, expected_s=COSTLY_S))
        ended = asyncio.ensure_future(queue.run(lambda: log.append("ended"), expected_s=COSTLY_S))
        await asyncio.sleep(0)
        ended.cancel()
        await asyncio.sleep(0)
        gate.set()
        await running
        await queue.run(lambda: log.append("last"), expected_s=COSTLY_S)

    asyncio.run(main())
    assert log == ["last"]


def test_errors_reach_the_request(make_queue):
    def fail():
        raise ValueError("damaged")

    async def main():
        with pytest.raises(ValueError, match="damaged"):
            await make_queue().run(fail, expected_s=COSTLY_S)

    asyncio.run(main())


def test_functions_run_on_other_threads(make_queue):
    names = asyncio.run(make_queue().run(lambda: threading.current_thread().name, expected_s=COSTLY_S))
    assert names.startswith("decode")
