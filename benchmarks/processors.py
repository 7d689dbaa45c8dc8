"""Accuracy, golden difference and speed of published files per processor.

uv run --group train python -m benchmarks.processors                         # this processor
uv run --group train python -m benchmarks.processors --emulate max Nehalem   # also emulated; needs qemu-user

Speed is the median time per image on one core. The files of a model take turns. Emulated processors are not timed:
`max` runs ONNX Runtime's AVX2 kernels, without VNNI, and `Nehalem` runs its SSE4.1 kernels.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort
import torch

from models.contract import graphs_of, newest_version
from models.hardware import read_processor_flags
from service.runtime.golden_check import golden_difference
from service.runtime.session import OnnxClassifier
from training.device import describe_hardware
from training.export.onnx_file import predict_onnx
from training.export.timing import BATCH_SIZES, measure_ms_per_image
from training.metrics import measure
from training.plurals import describe_count
from training.provenance import MODELS_DIR, REPOSITORY
from training.recipes.zoo import ZOO

QEMU = "qemu-x86_64"  # Debian's package qemu-user
RELEVANT_FLAGS = ("sse4_1", "avx2", "avx512bw", "avx_vnni", "avx512_vnni", "amx_int8")  # of x86-64, for int8 products
EMULATED_IMAGES = 32  # golden images per file; an image of cifar10 takes about 0.2 s


class EmulatorError(Exception):
    """The emulator is missing or failed."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Measurements of one file on the native processor."""

    file: str
    accuracy: float  # 0..1
    num_images: int
    golden_difference: float
    us_per_image: dict[int, float]  # by batch size
    speedup: dict[int, float]  # relative to the float32 file of the model, by batch size

    def render(self) -> str:
        """Return a row of a Markdown table."""
        times = [f"{self.us_per_image[size]:,.0f} | {self.speedup[size]:.2f}" for size in BATCH_SIZES]
        accuracy = f"{self.accuracy:.2%} | {self.num_images:,}"
        return f"| {self.file} | {accuracy} | {self.golden_difference:.1e} | {' | '.join(times)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    options = make_parser().parse_args(arguments)
    print(f"{describe_hardware(torch.device('cpu'))}, ONNX Runtime {ort.__version__}")
    flags = read_processor_flags()
    print("int8 instructions:", ", ".join(flag for flag in RELEVANT_FLAGS if flag in flags) or "unknown", end="\n\n")
    times = " | ".join(f"µs per image, batch size {size} | speed relative to float32" for size in BATCH_SIZES)
    print(f"| file | accuracy | n | golden difference | {times} |")
    print(f"|---|---|---|---|{'---|---|' * len(BATCH_SIZES)}")
    for name in options.models:
        for row in measure_model(name, options.data_dir):
            print(row.render(), flush=True)
    if options.emulate:
        try:
            print_emulated(options.emulate, options.models, options.images)
        except EmulatorError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.processors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=ZOO, default=list(ZOO), metavar="MODEL", help="default: every published model")
    add("--data-dir", type=Path, default=REPOSITORY / "data", help="folder of the data sets (default data/)")
    add("--emulate", nargs="+", default=[], metavar="CPU", help="QEMU's processor names, e.g. max Nehalem")
    add("--images", type=int, default=EMULATED_IMAGES, help="golden images per emulated file (default %(default)s)")
    return parser


def measure_model(name: str, data_dir: Path) -> list[Row]:
    """Measure every CPU file of a model's newest version on the native processor."""
    graphs, test = find_graphs(name), ZOO[name].load(data_dir).test
    images, labels = test.images.numpy(), test.labels.numpy()
    milliseconds = measure_ms_per_image(graphs, images)
    rows = []
    for precision, path in graphs.items():
        times = {size: milliseconds[precision][str(size)] * 1e3 for size in BATCH_SIZES}
        rows.append(
            Row(
                file=str(path.relative_to(MODELS_DIR)),
                accuracy=measure(predict_onnx(path, images), labels).accuracy,
                num_images=len(labels),
                golden_difference=golden_difference(OnnxClassifier(path, device="cpu", threads=1)),
                us_per_image=times,
                speedup={size: milliseconds["float32"][str(size)] * 1e3 / times[size] for size in BATCH_SIZES},
            )
        )
    return rows


def print_emulated(processors: Sequence[str], names: Sequence[str], num_images: int) -> None:
    """Print the golden difference of every CPU file on emulated processors.

    Raises:
        EmulatorError: QEMU is missing or failed.
    """
    paths = [path for name in names for path in find_graphs(name).values()]
    print(f"\n| file, {describe_count(num_images, 'golden image')} | {' | '.join(processors)} |")
    print(f"|---|{'---|' * len(processors)}")
    columns = [emulate(processor, paths, num_images) for processor in processors]
    for path in paths:
        differences = " | ".join(f"{column[str(path)]:.1e}" for column in columns)
        print(f"| {path.relative_to(MODELS_DIR)} | {differences} |")


def emulate(processor: str, paths: Sequence[Path], num_images: int) -> dict[str, float]:
    """Return the golden difference of each file, by path, on an emulated processor.

    Raises:
        EmulatorError: QEMU is missing or failed.
    """
    if shutil.which(QEMU) is None:
        raise EmulatorError(f"{QEMU} is not installed; on Debian: apt-get install qemu-user")
    command = [QEMU, "-cpu", processor, sys.executable, "-m", "benchmarks.golden_difference"]
    command += ["--images", str(num_images), *map(str, paths)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmulatorError(f"{QEMU} -cpu {processor} exited with status {done.returncode}:\n{done.stderr[-2000:]}")
    differences: dict[str, float] = json.loads(done.stdout)
    return differences


def find_graphs(name: str) -> dict[str, Path]:
    """Return the CPU files of a model's newest version, by precision."""
    version = newest_version(MODELS_DIR / name)
    assert version is not None, f"{name} is not published"
    return graphs_of(version)


if __name__ == "__main__":
    sys.exit(main())
