"""Files in a version's folder, and tolerances of their outputs."""

import re
from pathlib import Path

MODEL_FILE = "model.onnx"
INT8_MODEL_FILE = "model.int8.onnx"  # the same model in 8 bits for the CPU, if it lost no accuracy
FLOAT16_MODEL_FILE = "model.float16.onnx"  # the same model in half precision for a GPU
MODEL_FILES = {"float32": MODEL_FILE, "int8": INT8_MODEL_FILE, "float16": FLOAT16_MODEL_FILE}
FAMILIARITY = "familiarity"  # optional graph output, float32 (N,), 0..1
FAMILIARITY_DECIMALS = 3  # decimal places in responses
FAMILIARITY_THRESHOLD = 0.05  # images with a lower familiarity are unfamiliar
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
GOLDEN_FILE = (
    "golden.npz"  # `images`, and `probabilities` (N, K) of PyTorch or, after `requantize` and `adopt`, of the graph
)
INT8_GOLDEN_FILE = "golden.int8.npz"  # the same with the int8 graph's own output on the machine that made it
GOLDEN_FILES = {"float32": GOLDEN_FILE, "int8": INT8_GOLDEN_FILE, "float16": GOLDEN_FILE}
GOLDEN_TOLERANCE = {"cpu": 1e-4, "cuda": 1e-3}  # largest |dp|; TF32 and summation order cost the GPU one digit
INT8_GOLDEN_TOLERANCE = 0.001  # exact kernels differ by 3e-7, saturating ones by at least 0.004 (docs/processors.md)
EXACT_WEIGHT_BITS = 7  # 2 x 255 x 64 fits int16: no kernel saturates when it adds two products of uint8 and int8
FLOAT16_GOLDEN_TOLERANCE = 0.01  # 0.001 was measured on a CPU


def golden_tolerance(precision: str, device: str) -> float:
    """Return the largest allowed difference of a golden image's probability."""
    lossy = {"int8": INT8_GOLDEN_TOLERANCE, "float16": FLOAT16_GOLDEN_TOLERANCE}
    return lossy.get(precision, GOLDEN_TOLERANCE[device])


def graphs_of(version_folder: Path) -> dict[str, Path]:
    """Return the paths of a version's CPU graphs, by precision."""
    graphs = {"float32": version_folder / MODEL_FILE, "int8": version_folder / INT8_MODEL_FILE}
    return {precision: path for precision, path in graphs.items() if path.exists()}


def newest_version(model_folder: Path) -> Path | None:
    """Return the folder of the highest version, or None."""
    versions = (path for path in model_folder.glob("*") if path.name.isascii() and path.name.isdigit())
    return max((path for path in versions if path.is_dir()), key=lambda path: int(path.name), default=None)
