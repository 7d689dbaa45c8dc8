"""Inference speed on a GPU by batch size, precision and execution method.

uv run --extra cuda --group train python -m benchmarks.gpu             # every model
uv run --group train python -m benchmarks.gpu --device cpu --batch-sizes 1 8    # without a GPU

A method is not timed if its probabilities differ from the CPU's by more than the tolerance.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort
import torch

from benchmarks.gpu_methods import METHODS, Images, Run
from models.contract import FLOAT16_MODEL_FILE, GOLDEN_FILES, MODEL_FILE, newest_version
from training.device import describe_hardware
from training.export.float16 import convert_to_float16
from training.provenance import MODELS_DIR
from training.reporting.report import read_card

TOLERANCE = {"float32": 1e-3, "float16": 1e-2}  # of a probability
REPEATS = 5
COPY_BYTES, MATRIX_SIDE = 64 * 1024 * 1024, {"cuda": 8192, "cpu": 1024}  # to measure the limits


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    options = make_parser().parse_args(arguments)
    if options.device == "cuda":
        ort.preload_dlls()
    print(f"ONNX Runtime {ort.__version__} on {options.device}, {describe_hardware(torch.device(options.device))}\n")
    print("| model | precision | method | batch size | images per second | share of the limit |")
    print("|---|---|---|---|---|---|")
    bus, peak = bytes_per_s(options.device), multiply_adds_per_s(options.device)
    for name in options.models or sorted(path.name for path in MODELS_DIR.iterdir() if newest_version(path)):
        measure_model(name, options, bus=bus, peak=peak)
    print(f"\nMeasured limits: {bus / 1e9:.1f} GB/s to the device, {peak / 1e12:.1f} T multiply-adds/s.")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", help="default: every published model")
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--batch-sizes", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    add("--seconds", type=float, default=1.0, help=f"per repeat, of {REPEATS} repeats (default 1)")
    return parser


def measure_model(name: str, options: argparse.Namespace, *, bus: float, peak: float) -> None:
    """Print a row per precision, execution method and batch size."""
    version = newest_version(MODELS_DIR / name)
    assert version
    with np.load(version / GOLDEN_FILES["float32"]) as golden:
        images, expected = golden["images"], golden["probabilities"]
    with TemporaryDirectory() as folder:
        half = Path(folder) / FLOAT16_MODEL_FILE
        convert_to_float16(version / MODEL_FILE, half)
        for precision, path in (("float32", version / MODEL_FILE), ("float16", half)):
            limit = 1 / max(images[0].nbytes / bus, read_card(path).multiply_adds / peak)
            for method, batch_size in product(METHODS, options.batch_sizes):
                batch = np.resize(images, (batch_size, *images.shape[1:]))
                label = f"{name}, {precision}, {method}, batch size {batch_size}"
                try:
                    run = METHODS[method](path, batch.shape, options.device)
                    found = run(batch)
                except Exception as error:  # no narrower base class in ONNX Runtime; other methods still run
                    print(f"{label}: failed: {error}", file=sys.stderr)
                    continue
                repeated = np.resize(expected, (batch_size, expected.shape[1]))
                difference = np.abs(found - np.resize(repeated, found.shape)).max()
                if not difference <= TOLERANCE[precision]:
                    allowed = f"at most {TOLERANCE[precision]} is allowed"
                    print(f"{label}: not timed: probabilities differ by {difference:.1e}, {allowed}", file=sys.stderr)
                    continue
                values = [images_per_s(run, batch, options.seconds) for _ in range(REPEATS)]
                print(render_row((name, precision, method, batch_size), values, limit=limit), flush=True)


def render_row(row: tuple[str, str, str, int], values: Sequence[float], *, limit: float) -> str:
    """Return a row of a Markdown table.

    Args:
        row: model, precision, execution method and batch size.
        values: images per second, one per repeat.
        limit: images per second that the bus or the multiply-adds allow.
    """
    median = statistics.median(values)
    spread = f"{median:,.0f} ({min(values):,.0f} to {max(values):,.0f}, n = {len(values)})"
    return f"| {' | '.join(map(str, row))} | {spread} | {median / limit:.1%} |"


def images_per_s(run: Run, batch: Images, seconds: float) -> float:
    """Run the same batch for ``seconds`` or once; return the images per second."""
    started, count = time.perf_counter(), 0
    while not count or time.perf_counter() - started < seconds:
        count += len(run(batch))
    return count / (time.perf_counter() - started)


def bytes_per_s(device: str) -> float:
    """Return the best bytes per second of copies from pinned memory to the device."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, pin_memory=device == "cuda")
    return COPY_BYTES / _best_seconds(lambda: source.to(device, copy=True), device)


def multiply_adds_per_s(device: str) -> float:
    """Return the best multiply-adds per second of square matrix products."""
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
