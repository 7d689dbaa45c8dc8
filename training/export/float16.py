"""Float16 graphs for a GPU.

Weighted layers and the operators between them have half precision.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from models.contract import FAMILIARITY
from training.export.onnx_file import check_onnx

WEIGHTED_OPERATORS = {"Conv", "Gemm"}
INTERMEDIATE_OPERATORS = {"Add", "Flatten", "MaxPool", "Relu", "Reshape"}  # converted only if their input is float16


def convert_to_float16(source: Path, target: Path) -> None:
    """Write the float16 graph of a float graph, with the same input and outputs.

    The part before the first weighted layer (normalization) and after the last (calibration, softmax, familiarity)
    stays in float32.

    Args:
        source: ONNX file with nodes in topological order.
        target: ONNX file to write.

    Raises:
        ExportError: the new file is not valid.
    """
    model = onnx.load(source)
    graph = model.graph
    converted = _Float16Nodes({weights.name: weights for weights in graph.initializer})
    for node in graph.node:
        converted.add(node)
    for output in graph.output:
        converted.require_float32(output.name)
    used = {name for node in converted.nodes for name in node.input}
    del graph.node[:], graph.initializer[:], graph.value_info[:]  # the checker infers value_info again
    graph.node.extend(converted.nodes)
    graph.initializer.extend(weights for name, weights in converted.weights.items() if name in used)
    onnx.save(model, target)
    check_onnx(target)


class _Float16Nodes:
    """Nodes converted to half precision, with casts at the boundaries."""

    def __init__(self, weights: dict[str, TensorProto]) -> None:
        self.nodes: list[NodeProto] = []
        self.weights = weights
        self._float16: set[str] = set()  # tensors available in half precision, by their float32 names
        self._float32: set[str] = set()  # those also available in float32

    def add(self, node: NodeProto) -> None:
        """Add a node, in half precision if possible."""
        is_familiarity = node.name.startswith(FAMILIARITY)  # which has a Gemm too
        is_layer = node.op_type in WEIGHTED_OPERATORS and not is_familiarity
        if is_layer or (node.op_type in INTERMEDIATE_OPERATORS and node.input[0] in self._float16):
            node.input[:] = [self._to_float16(name) for name in node.input]
            self._float16.update(node.output)
            node.output[:] = map(_float16_name, node.output)
        else:
            for name in node.input:
                self.require_float32(name)
        self.nodes.append(node)

    def require_float32(self, name: str) -> None:
        """Cast a tensor to float32 if it exists only in half precision."""
        if name in self._float16 - self._float32:
            self.nodes.append(helper.make_node("Cast", [_float16_name(name)], [name], to=TensorProto.FLOAT))
            self._float32.add(name)

    def _to_float16(self, name: str) -> str:
        """Return the half-precision name of a tensor; integer weights stay."""
        if name in self.weights and self.weights[name].data_type != TensorProto.FLOAT:
            return name
        converted = _float16_name(name)
        if name in self.weights:
            weights = numpy_helper.to_array(self.weights[name]).astype(np.float16)
            self.weights[converted] = numpy_helper.from_array(weights, converted)
        elif name not in self._float16:
            self.nodes.append(helper.make_node("Cast", [name], [converted], to=TensorProto.FLOAT16))
            self._float16.add(name)
            self._float32.add(name)
        return converted


def _float16_name(name: str) -> str:
    return f"{name}.half"
