"""Start time and memory of the service."""

from benchmarks.generators import Body
from benchmarks.images import DIGIT, PHOTO
from benchmarks.load import measure_load
from benchmarks.measurements import Measurement, RunOptions
from benchmarks.servers import OURS, served


def measure_start(options: RunOptions) -> list[Measurement]:
    """Measure the time from start to readiness."""
    values = []
    for _ in range(max(3, options.repeats)):
        with served(OURS) as running:
            values.append(running.ready_s)
    return [Measurement(name="time from `bentoml serve` to ready", values=values, target=2, unit="s")]


def measure_memory(options: RunOptions, *, seconds: int = 300) -> list[Measurement]:
    """Measure the memory of the process tree after minutes of load."""
    values = []
    for _ in range(options.repeats):
        with served(OURS) as running:
            for model, image in (("cifar10", PHOTO), ("mnist", DIGIT)):
                url, body = running.url(f"/v1/models/{model}/classify"), Body(content=image.read_bytes())
                measure_load(running, url, body, seconds // 2)
            values.append(running.memory_mib() * 2**20 / 1e6)
    name = f"memory of the process tree after {seconds} s of load"
    return [Measurement(name=name, values=values, target=400, unit="MB")]
