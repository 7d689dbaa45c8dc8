"""Float16 graphs for a GPU.

Weighted layers and the operators between them have half precision.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from models.contract import FAMILIARITY
from training.export.onnx_file import check_onnx

WEIGHTED = {"Conv", "Gemm"}
BETWEEN = {"Add", "Flatten", "MaxPool", "Relu", "Reshape"}  # converted only if their input is in half precision


def halve(source: Path, target: Path) -> None:
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
    halved = _HalvedNodes({weights.name: weights for weights in graph.initializer})
    for node in graph.node:
        halved.add(node)
    for output in graph.output:
        halved.need_float(output.name)
    used = {name for node in halved.nodes for name in node.input}
    del graph.node[:], graph.initializer[:], graph.value_info[:]  # the checker infers value_info again
    graph.node.extend(halved.nodes)
    graph.initializer.extend(weights for name, weights in halved.weights.items() if name in used)
    onnx.save(model, target)
    check_onnx(target)


class _HalvedNodes:
    """Nodes converted to half precision, with casts at the boundaries."""

    def __init__(self, weights: dict[str, TensorProto]) -> None:
        self.nodes: list[NodeProto] = []
        self.weights = weights
        self._half: set[str] = set()  # tensors available in half precision, by their float32 names
        self._float: set[str] = set()  # those also available in float32

    def add(self, node: NodeProto) -> None:
        """Add a node, in half precision if possible."""
        is_layer = node.op_type in WEIGHTED and not node.name.startswith(FAMILIARITY)  # familiarity has a Gemm too
        if is_layer or (node.op_type in BETWEEN and node.input[0] in self._half):
            node.input[:] = [self._halve(name) for name in node.input]
            self._half.update(node.output)
            node.output[:] = map(_half_name, node.output)
        else:
            for name in node.input:
                self.need_float(name)
        self.nodes.append(node)

    def need_float(self, name: str) -> None:
        """Cast a tensor to float32 if it exists only in half precision."""
        if name in self._half - self._float:
            self.nodes.append(helper.make_node("Cast", [_half_name(name)], [name], to=TensorProto.FLOAT))
            self._float.add(name)

    def _halve(self, name: str) -> str:
        """Return the half-precision name of a tensor; integer weights stay."""
        if name in self.weights and self.weights[name].data_type != TensorProto.FLOAT:
            return name
        half = _half_name(name)
        if name in self.weights:
            weights = numpy_helper.to_array(self.weights[name]).astype(np.float16)
            self.weights[half] = numpy_helper.from_array(weights, half)
        elif name not in self._half:
            self.nodes.append(helper.make_node("Cast", [name], [half], to=TensorProto.FLOAT16))
            self._half.add(name)
            self._float.add(name)
        return half


def _half_name(name: str) -> str:
    return f"{name}.half"
