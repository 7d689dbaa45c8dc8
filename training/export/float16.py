"""A float16 graph for a GPU: layers with weights, and what lies between them, in half precision; the rest stays."""

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from models.contract import FAMILIARITY
from training.export.onnx_file import check_onnx

WEIGHTED = {"Conv", "Gemm"}
BETWEEN = {"Add", "Flatten", "MaxPool", "Relu", "Reshape"}  # where their input is in half precision already


def halve(source: Path, target: Path) -> None:
    """Write the float16 graph of a float graph, with the same input and outputs.

    What comes before the first layer with weights (normalisation) and after the last (calibration, softmax,
    familiarity) is computed in float32.

    Args:
        source: ONNX file, its nodes in topological order.
        target: ONNX file to write.

    Raises:
        ExportError: what came out is not valid.
    """
    model = onnx.load(source)
    graph = model.graph
    halved = _Halved({weights.name: weights for weights in graph.initializer})
    for node in graph.node:
        halved.add(node)
    for output in graph.output:
        halved.need_float(output.name)
    used = {name for node in halved.nodes for name in node.input}
    del graph.node[:], graph.initializer[:], graph.value_info[:]  # what the checker infers anew
    graph.node.extend(halved.nodes)
    graph.initializer.extend(weights for name, weights in halved.weights.items() if name in used)
    onnx.save(model, target)
    check_onnx(target)


class _Halved:
    """Nodes in half precision as they are added, with a cast at each crossing."""

    def __init__(self, weights: dict[str, TensorProto]) -> None:
        self.nodes: list[NodeProto] = []
        self.weights = weights
        self._half: set[str] = set()  # tensors there are in half precision, by what they were called in float32
        self._float: set[str] = set()  # of them, those there are in float32 too

    def add(self, node: NodeProto) -> None:
        """Add a node as it was, or in half precision."""
        is_layer = node.op_type in WEIGHTED and not node.name.startswith(FAMILIARITY)  # its steps look like one
        if is_layer or (node.op_type in BETWEEN and node.input[0] in self._half):
            node.input[:] = [self._halve(name) for name in node.input]
            self._half.update(node.output)
            node.output[:] = map(_half_name, node.output)
        else:
            for name in node.input:
                self.need_float(name)
        self.nodes.append(node)

    def need_float(self, name: str) -> None:
        """Cast a tensor back if there is none in float32."""
        if name in self._half - self._float:
            self.nodes.append(helper.make_node("Cast", [_half_name(name)], [name], to=TensorProto.FLOAT))
            self._float.add(name)

    def _halve(self, name: str) -> str:
        """Return the name of the tensor in half precision; indices, as Reshape's shape, are none."""
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
