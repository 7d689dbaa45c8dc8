"""CPU overhead of a request to a large model, compared with the baseline server."""

import os
import shutil
import statistics
from contextlib import ExitStack

from benchmarks.generators import Body
from benchmarks.images import PHOTO
from benchmarks.load import measure_load
from benchmarks.measurements import Measurement, RunOptions
from benchmarks.servers import BASELINE, OURS, served

TURNS = 4  # each measures both servers
TARGET_US = 60


def compare_large_model(options: RunOptions) -> list[Measurement]:
    """Post a photograph to cifar10 on one core and on all cores.

    One core is a worker's default. With two cores, two batches run at once and share the caches, so that row has no
    target.
    """
    measurements = []
    for cores, suffix, target in (one_core(), "on one core", TARGET_US), ("", "on all cores", None):
        values = [overhead_us(cores, options) for _ in range(options.repeats)]
        name = f"CPU per cifar10 request, {suffix}: {OURS.name} minus the {BASELINE.name}"
        measurements.append(Measurement(name=name, values=values, target=target, unit="µs"))
    return measurements


def overhead_us(cores: str, options: RunOptions) -> float:
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
            cpu_us = {}
            for running in both if turn % 2 else reversed(both):
                url = running.url(running.server.classify.format(model="cifar10"))
                cpu_us[running.server.name] = measure_load(running, url, body, options.seconds)[1]
            differences.append(cpu_us[OURS.name] - cpu_us[BASELINE.name])
    return statistics.median(differences)


def one_core() -> str:
    """Return a core of this process in taskset's format; empty without taskset."""
    return str(min(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") and shutil.which("taskset") else ""
