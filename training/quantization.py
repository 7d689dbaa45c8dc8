"""An int8 graph for the CPU: weights by channel, activations by the range that training images take."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

from training.export import ExportError

NUM_CALIBRATION_IMAGES = 512
QUANTIZED = ["Conv", "Gemm", "MatMul", "MaxPool", "Add"]  # Add is a residual's; the rest of the graph stays float32


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # untyped
    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.batches: Iterator[NDArray[np.uint8]] = iter(np.array_split(images, max(1, len(images) // 64)))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


def quantize(source: Path, target: Path, images: NDArray[np.uint8]) -> None:
    """Write the int8 graph of a float graph: static, QDQ, signed 8-bit weights by channel, unsigned activations.

    Args:
        source: ONNX file whose batch norms are folded.
        target: ONNX file to write, with the same input and outputs.
        images: training images, (N, H, W) or (N, H, W, 3), to calibrate activations by; the first 512 are used.

    Raises:
        ExportError: the quantiser failed.
    """
    prepared = target.with_suffix(".prepared")
    try:
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _Batches(images[:NUM_CALIBRATION_IMAGES]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            per_channel=True,
            activation_type=QuantType.QUInt8,  # whose least value is 0: ReLU costs nothing more
            weight_type=QuantType.QInt8,
        )
    except Exception as error:  # whatever ONNX Runtime's quantiser raises
        raise ExportError(f"cannot be quantised: {error}") from error
    finally:
        prepared.unlink(missing_ok=True)
