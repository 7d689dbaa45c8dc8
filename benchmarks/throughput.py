"""Throughput of two workers and of batch requests."""

import time
from collections.abc import Sequence

import numpy as np

from benchmarks.generators import Body, form
from benchmarks.images import DIGIT
from benchmarks.load import measure_load
from benchmarks.measurements import Measurement, RunOptions
from benchmarks.peers.onnx_model import OnnxModel
from benchmarks.servers import OURS, newest_file, served
from models.hardware import available_cores
from training.plurals import describe_count

BATCH = 256


def compare_workers(options: RunOptions) -> list[Measurement]:
    """Compare two workers with one at 64 connections; generator on the same cores."""
    gains, shares = [], []
    for _ in range(options.repeats):
        rates = []
        for workers in (1, 2):
            with served(OURS, workers=workers) as running:
                url = running.url(OURS.classify.format(model="mnist"))
                load, _ = measure_load(running, url, Body(content=DIGIT.read_bytes()), options.seconds, connections=64)
            rates.append(load.rate)
        gains.append(rates[1] / rates[0])
        shares.append(100 * load.own_cpu_s / load.seconds)
    cores = describe_count(available_cores(), "core")
    return [
        Measurement(name=f"responses per second: two workers relative to one, on {cores}", values=gains),
        Measurement(
            name="CPU of the load generator during the runs with two workers, share of one core",
            values=shares,
            unit="%",
        ),
    ]


def compare_batch(options: RunOptions) -> list[Measurement]:
    """Compare requests of 256 digits with this process, in images per second."""
    images, values = [DIGIT.read_bytes()] * BATCH, []
    for _ in range(options.repeats):
        without_server = classify_in_process(images, options.seconds)
        with served(OURS) as running:
            url = running.url("/v1/models/mnist/classify-batch")
            load, _ = measure_load(running, url, form("images", images), options.seconds, connections=2)
        values.append(100 * load.rate * BATCH / without_server)
    name = f"images per second: classify-batch with {BATCH} digits relative to decoding and inference without a server"
    return [Measurement(name=name, values=values, target=85, unit="%", at_least=True)]


def classify_in_process(images: Sequence[bytes], seconds: float) -> float:
    """Decode and classify batches in this process; return the images per second."""
    model = OnnxModel(newest_file("mnist", "int8"))
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        model.run(np.stack([model.decode(image) for image in images]))
        count += len(images)
    return count / elapsed
