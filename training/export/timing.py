"""Measurement of the time per image of a graph on one core."""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.onnx_session import open_session

BATCH_SIZES = (1, 64)
SECONDS = 1.0  # per graph and batch size


def measure_ms_per_image(graphs: Mapping[str, Path], images: NDArray[np.uint8]) -> dict[str, dict[str, float]]:
    """Measure the median time by graph name and batch size.

    The graphs are timed in turn, so that other load on the machine affects all of them.

    Args:
        graphs: ONNX files by name.
        images: (N, ...), in the input shape of the graphs.
    """
    sessions = {name: open_session(path, threads=1) for name, path in graphs.items()}
    found: dict[str, dict[str, float]] = {name: {} for name in graphs}
    for batch_size in BATCH_SIZES:
        batch = {"images": images[np.arange(batch_size) % len(images)]}
        times: dict[str, list[float]] = {name: [] for name in graphs}
        until = time.perf_counter() + SECONDS * len(graphs)
        while time.perf_counter() < until:
            for name, session in sessions.items():
                started = time.perf_counter()
                session.run(["probabilities"], batch)
                times[name].append(time.perf_counter() - started)
        for name, seconds in times.items():
            found[name][str(batch_size)] = round(statistics.median(seconds) / batch_size * 1e3, 4)
    return found
