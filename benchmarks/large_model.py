"""CPU overhead of a request to a large model, compared with the baseline server."""

import os
import shutil
import statistics
from contextlib import ExitStack

from benchmarks.cost import PHOTO, Effort, measure
from benchmarks.figures import Figure
from benchmarks.generators import Body
from benchmarks.servers import BASELINE, OURS, served

TURNS = 4  # each measures both servers
TARGET_US = 60


def compare_large_model(effort: Effort) -> list[Figure]:
    """Post a photograph to cifar10 on one core and on all cores.

    One core is a worker's default. With two cores, two batches run at once and share the caches, so that row has no
    target.
    """
    figures = []
    for cores, suffix, target in (one_core(), "on one core", TARGET_US), ("", "on all cores", None):
        values = [beyond_floor_us(cores, effort) for _ in range(effort.repeats)]
        name = f"CPU a cifar10 request beyond the bare handler's, {suffix}"
        figures.append(Figure(name=name, values=values, target=target, unit="µs"))
    return figures


def beyond_floor_us(cores: str, effort: Effort) -> float:
    """Return our CPU per request minus the baseline's: median over turns, in µs.

    The servers take turns, because other work on the machine changes the cost by more than the difference. The order
    alternates.
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
    """Return a core of this process in taskset's format; empty without taskset."""
    return str(min(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") and shutil.which("taskset") else ""
