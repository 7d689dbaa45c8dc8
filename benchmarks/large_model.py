"""What a request to a large model costs beyond decoding and ONNX Runtime, against what the floor adds to them."""

import os
import shutil
import statistics
from contextlib import ExitStack

from benchmarks.cost import PHOTO, Effort, measure
from benchmarks.figures import Figure
from benchmarks.generators import Body
from benchmarks.servers import BASELINE, OURS, served

TURNS = 4  # in each of which both servers are asked
TARGET_US = 60


def compare_large_model(effort: Effort) -> list[Figure]:
    """Post a photograph to cifar10.

    On one core, as a worker has by default: where one has two, it runs two batches at once, which disturb each other's
    caches, so that row has no target.
    """
    figures = []
    for cores, where, target in (one_core(), "on one core", TARGET_US), ("", "on all cores", None):
        values = [beyond_floor_us(cores, effort) for _ in range(effort.repeats)]
        name = f"CPU a cifar10 request beyond the bare handler's, {where}"
        figures.append(Figure(name=name, values=values, target=target, unit="µs"))
    return figures


def beyond_floor_us(cores: str, effort: Effort) -> float:
    """Return the CPU microseconds by which our request is dearer than the floor's: the median of some turns.

    In turns, as a request's cost varies by more than the difference with whatever else a machine does; each server is
    the first in every other.
    """
    body, differences = Body(content=PHOTO.read_bytes()), []
    with ExitStack() as stack:
        both = [
            stack.enter_context(served(server, model="cifar10", precision="float32", cores=cores))
            for server in (BASELINE, OURS)
        ]
        for turn in range(TURNS):
            costs = {}
            for running in both if turn % 2 else reversed(both):
                url = running.url(running.server.classify.format(model="cifar10"))
                costs[running.server.name] = measure(running, url, body, effort.seconds)[1]
            differences.append(costs[OURS.name] - costs[BASELINE.name])
    return statistics.median(differences)


def one_core() -> str:
    """Return a core that this process may run on, as taskset has it; none where no process is held to cores."""
    return str(min(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") and shutil.which("taskset") else ""
