"""Static quantization of a float32 graph to int8, for the CPU."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

from models.contract import EXACT_WEIGHT_BITS
from training.export.familiarity import remove_familiarity
from training.export.onnx_file import ExportError

NUM_CALIBRATION_IMAGES = 512
WEIGHTED_OPERATORS = ["Conv", "Gemm", "MatMul"]
QUANTIZED_OPERATORS = [*WEIGHTED_OPERATORS, "MaxPool", "Add"]  # Add of a residual block; the rest stays float32


class CalibrationBatches(CalibrationDataReader):  # type: ignore[misc]  # untyped
    """Images for ONNX Runtime's quantizer, in batches of about 64."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.batches: Iterator[NDArray[np.uint8]] = iter(np.array_split(images, max(1, len(images) // 64)))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch, or None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


def quantize(source: Path, target: Path, images: NDArray[np.uint8]) -> None:
    """Write the int8 graph of a float graph.

    The format is static QDQ with per-channel signed weights and unsigned activations.

    Weights have 7 bits. On x86-64 processors without VNNI, ONNX Runtime multiplies uint8 activations by int8 weights
    with VPMADDUBSW, which adds two products in int16 and saturates. With 7-bit weights the sum always fits, so every
    processor computes the same integers.

    Args:
        source: ONNX file with folded batch norms; an output ``familiarity`` is omitted.
        target: ONNX file to write, with the outputs ``probabilities`` and ``logits``.
        images: training images, (N, H, W) or (N, H, W, 3); the first 512 calibrate the activations.

    Raises:
        ExportError: the quantizer failed, or a weight has more than 7 bits.
    """
    prepared = target.with_suffix(".prepared")
    try:
        model = onnx.load(source)
        remove_familiarity(model)
        onnx.save(model, prepared)
        quant_pre_process(prepared, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            CalibrationBatches(images[:NUM_CALIBRATION_IMAGES]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED_OPERATORS,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,  # its minimum is 0, so ReLU costs nothing more
            weight_type=QuantType.QInt8,
        )
    except Exception as error:  # ONNX Runtime's quantizer raises many types
        raise ExportError(f"cannot quantize {source.name}: {error}") from error
    finally:
        prepared.unlink(missing_ok=True)
    check_weight_range(target)


def check_weight_range(path: Path) -> None:
    """Check that no int8 layer can saturate the int16 sum of two products.

    Raises:
        ExportError: a weight lies outside -64..64, or the graph has no int8 layer.
    """
    limit = 2 ** (EXACT_WEIGHT_BITS - 1)
    graph = onnx.load(path).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.INT8}
    dequantized = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    layers = [
        node for node in graph.node if node.op_type in WEIGHTED_OPERATORS and dequantized.get(node.input[1]) in tensors
    ]
    if not layers:
        raise ExportError(f"{path.name}: expected layers with int8 weights, found none")
    for layer in layers:
        tensor = tensors[dequantized[layer.input[1]]]
        largest = int(np.abs(numpy_helper.to_array(tensor).astype(np.int16)).max(initial=0))
        if largest > limit:
            raise ExportError(
                f"{path.name}: weight {tensor.name} has values up to {largest}, expected at most {limit}: "
                "larger weights saturate on processors without VNNI; quantize with reduce_range=True"
            )
