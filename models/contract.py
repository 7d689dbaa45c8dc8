"""What a version's folder holds, <name>/<version>/, and how closely whoever runs it must agree with PyTorch."""

from pathlib import Path

MODEL_FILE = "model.onnx"
INT8_MODEL_FILE = "model.int8.onnx"  # the same function in 8 bits for the CPU, where it lost no accuracy
FLOAT16_MODEL_FILE = "model.float16.onnx"  # likewise, in half precision for a GPU
MODEL_FILES = {"float32": MODEL_FILE, "int8": INT8_MODEL_FILE, "float16": FLOAT16_MODEL_FILE}
FAMILIARITY = "familiarity"  # output of a graph, float32 (N,), 0..1; not every graph has it
FAMILIARITY_DECIMALS = 3  # in which it is told
FAMILIAR = 0.05  # what fewer real images have is unfamiliar
GOLDEN_FILE = "golden.npz"  # `images` as the model takes them, and the `probabilities` (N, K) that PyTorch gave
INT8_GOLDEN_FILE = "golden.int8.npz"  # likewise, with what the int8 graph itself gave where it was made
GOLDEN_FILES = {"float32": GOLDEN_FILE, "int8": INT8_GOLDEN_FILE, "float16": GOLDEN_FILE}
GOLDEN_TOLERANCE = {"cpu": 1e-4, "cuda": 1e-3}  # largest |dp|; TF32 and other orders of summation cost the GPU a digit
INT8_GOLDEN_TOLERANCE = 0.001  # exact kernels differ by 3e-7, saturating ones by 0.004 and more (docs/processors.md)
EXACT_WEIGHT_BITS = 7  # 2 x 255 x 64 fits int16: no kernel saturates when it adds two products of uint8 and int8
FLOAT16_GOLDEN_TOLERANCE = 0.01  # 0.001 was seen on a CPU


def golden_tolerance(precision: str, device: str) -> float:
    """Return by how much a probability of a golden image may differ."""
    lossy = {"int8": INT8_GOLDEN_TOLERANCE, "float16": FLOAT16_GOLDEN_TOLERANCE}
    return lossy.get(precision, GOLDEN_TOLERANCE[device])


def graphs_of(version_folder: Path) -> dict[str, Path]:
    """Return the graphs that a version has for a CPU, by precision."""
    graphs = {"float32": version_folder / MODEL_FILE, "int8": version_folder / INT8_MODEL_FILE}
    return {precision: path for precision, path in graphs.items() if path.exists()}


def newest_version(model_folder: Path) -> Path | None:
    """Return the folder of the highest version, a name that is all digits; None if there is none."""
    versions = (path for path in model_folder.glob("*") if path.name.isascii() and path.name.isdigit())
    return max((path for path in versions if path.is_dir()), key=lambda path: int(path.name), default=None)
