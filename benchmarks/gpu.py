"""How fast the models run on a GPU, by batch size, precision and way of running, beside what the hardware allows.

uv run --extra cuda --group train python -m benchmarks.gpu             # every model, on the GPU
uv run --group train python -m benchmarks.gpu --device cpu --batch-sizes 1 8    # the same code, without one

Correctness first: a way whose probabilities differ from the CPU's by more than its tolerance is not timed.
"""

import argparse
import asyncio
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from models.layout import FLOAT16_MODEL_FILE, GOLDEN_FILES, MODEL_FILE, newest_version
from service.batching import Batcher
from service.bound_batch import BoundBatch
from service.classifier import OnnxClassifier
from service.metrics import ModelMetrics
from training.device import count_cores, describe_hardware
from training.half_precision import halve
from training.provenance import MODELS_DIR
from training.report import read_card

TOLERANCE = {"float32": 1e-3, "float16": 1e-2}  # of a probability
REPEATS = 5
SERVED_BATCHES = 16  # that wait at once
COPY_BYTES, MATRIX_SIDE = 64 * 1024 * 1024, {"cuda": 8192, "cpu": 1024}  # by which bus and peak are measured

Images = NDArray[np.uint8]
Run = Callable[[Images], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Images a second of one way to run a model."""

    model: str
    precision: str
    way: str
    batch_size: int
    values: list[float]  # of each repeat
    floor: float  # what the bus or the multiply-adds would allow

    def row(self) -> str:
        """Return it as a row of a Markdown table."""
        median, low, high = statistics.median(self.values), min(self.values), max(self.values)
        spread = f"{median:,.0f} ({low:,.0f} to {high:,.0f}, n = {len(self.values)})"
        cells = (self.model, self.precision, self.way, str(self.batch_size), spread, f"{median / self.floor:.1%}")
        return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print one table."""
    options = parse_arguments()
    if options.device == "cuda":
        ort.preload_dlls()
    print(f"ONNX Runtime {ort.__version__} on {options.device}, {describe_hardware(torch.device(options.device))}\n")
    print("| model | precision | way | batch | images/s | of the floor |\n|---|---|---|---|---|---|")
    bus, peak = bytes_per_s(options.device), multiply_adds_per_s(options.device)
    for name in options.models or sorted(path.name for path in MODELS_DIR.iterdir() if newest_version(path)):
        measure_model(name, options, bus=bus, peak=peak)
    print(f"\nThe floor: {bus / 1e9:.1f} GB/s to the device and {peak / 1e12:.1f} T multiply-adds/s, as measured here.")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", help="all, unless named")
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--batch-sizes", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    add("--seconds", type=float, default=1.0, help="of each of the 5 repeats (default 1)")
    return parser.parse_args()


def measure_model(name: str, options: argparse.Namespace, *, bus: float, peak: float) -> None:
    """Print a row for each precision, way and batch size."""
    version = newest_version(MODELS_DIR / name)
    assert version
    with np.load(version / GOLDEN_FILES["float32"]) as golden:
        images, expected = golden["images"], golden["probabilities"]
    with TemporaryDirectory() as folder:
        half = Path(folder) / FLOAT16_MODEL_FILE
        halve(version / MODEL_FILE, half)
        for precision, path in (("float32", version / MODEL_FILE), ("float16", half)):
            floor = 1 / max(images[0].nbytes / bus, read_card(path).multiply_adds / peak)
            for way, make in WAYS.items():
                for batch_size in options.batch_sizes:
                    batch = np.resize(images, (batch_size, *images.shape[1:]))
                    try:
                        run = make(path, batch.shape, options.device)
                        found = run(batch)
                    except Exception as error:  # ONNX Runtime's share no other base; one way is not all
                        print(f"{name}, {precision}, {way}, {batch_size}: not run: {error}", file=sys.stderr)
                        continue
                    right = np.resize(expected, (batch_size, expected.shape[1]))
                    difference = np.abs(found - np.resize(right, found.shape)).max()
                    if not difference <= TOLERANCE[precision]:
                        print(f"{name}, {precision}, {way}: off by {difference:.1e}, not timed", file=sys.stderr)
                        continue
                    values = [images_per_s(run, batch, options.seconds) for _ in range(REPEATS)]
                    speed = Speed(
                        model=name, precision=precision, way=way, batch_size=batch_size, values=values, floor=floor
                    )
                    print(speed.row(), flush=True)


def plain(path: Path, _shape: tuple[int, ...], device: str) -> Run:
    """Let ONNX Runtime allocate and copy."""
    session = open_session(path, device)
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def bound(path: Path, shape: tuple[int, ...], device: str) -> Run:
    """Keep input and output in page-locked memory and on the device."""
    return _bind(open_session(path, device), shape, device)


def captured(path: Path, shape: tuple[int, ...], device: str) -> Run:
    """Replay one CUDA graph a run, instead of launching kernel by kernel."""
    return _bind(open_session(path, device, enable_cuda_graph="1"), shape, device)


def _bind(session: ort.InferenceSession, shape: tuple[int, ...], device: str) -> Run:
    batch = BoundBatch(session, shape[0], outputs=["probabilities"], device=device)
    return lambda images: batch.run(images)[0]


def served(path: Path, shape: tuple[int, ...], device: str) -> Run:
    """Put the images of many batches to the service's batcher, each a request of its own."""
    classifier = OnnxClassifier(path, device="cuda" if device == "cuda" else "cpu", threads=count_cores())
    classifier.warm_up(shape[0])
    metrics = ModelMetrics(path.parent.name, path.stem)

    async def classify(images: Images) -> NDArray[np.float32]:
        batcher = Batcher(
            classifier.run,
            image_shape=shape[1:],
            max_batch_size=shape[0],
            max_queue=SERVED_BATCHES * shape[0],
            max_wait_s=math.inf,
            seconds_per_image=0.0,
            streams=1,
            metrics=metrics,
        )
        jobs = [batcher.submit([image], client_left=lambda: False) for _ in range(SERVED_BATCHES) for image in images]
        await asyncio.gather(*(job.done for job in jobs))
        batcher.close()
        return np.array([job.answers[0].probabilities for job in jobs], np.float32)

    return lambda images: asyncio.run(classify(images))


WAYS = {"run": plain, "bound": bound, "CUDA graph": captured, "service": served}


def open_session(path: Path, device: str, **more: str) -> ort.InferenceSession:
    """Open a model on the device.

    Raises:
        RuntimeError: ONNX Runtime fell back to the CPU.
    """
    cuda = ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC", **more})
    providers = ["CPUExecutionProvider"] if device == "cpu" else [cuda, "CPUExecutionProvider"]
    session = ort.InferenceSession(path, providers=providers)
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise RuntimeError("ONNX Runtime fell back to the CPU: install the extra `cuda`")
    return session


def images_per_s(run: Run, batch: Images, seconds: float) -> float:
    """Run the same batch for so long, at least once."""
    started, count = time.perf_counter(), 0
    while not count or time.perf_counter() - started < seconds:
        count += len(run(batch))
    return count / (time.perf_counter() - started)


def bytes_per_s(device: str) -> float:
    """Copy pinned memory to the device, the best of several."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, pin_memory=device == "cuda")
    return COPY_BYTES / _best_seconds(lambda: source.to(device, copy=True), device)


def multiply_adds_per_s(device: str) -> float:
    """Multiply two square matrices of half precision, the best of several."""
    side = MATRIX_SIDE[device]
    matrix = torch.ones((side, side), dtype=torch.float16 if device == "cuda" else torch.float32, device=device)
    return side**3 / _best_seconds(lambda: matrix @ matrix, device)


def _best_seconds(work: Callable[[], object], device: str) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    main()
