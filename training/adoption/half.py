"""Conversion of half precision to float32, so that an adopted graph gives the same results on CPU and GPU.

On a CPU, ONNX Runtime computes float16 graphs in float32 anyway.
"""

from collections.abc import Iterable

from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, numpy_helper

_TYPE_ATTRIBUTES = {"to", "dtype", "output_dtype"}


def has_half(model: ModelProto) -> bool:
    """Return whether weights, inputs or outputs of a model have half precision."""
    graph = model.graph
    ends = (node.type.tensor_type.elem_type for node in (*graph.input, *graph.output))
    return TensorProto.FLOAT16 in {*ends, *(tensor.data_type for tensor in graph.initializer)}


def widen_half(graph: GraphProto) -> None:
    """Change every float16 tensor and type of a graph and its subgraphs to float32."""
    _widen_tensors(graph.initializer)
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.type.tensor_type.elem_type == TensorProto.FLOAT16:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            _widen_attribute(attribute)


def _widen_attribute(attribute: AttributeProto) -> None:
    _widen_tensors([attribute.t, *attribute.tensors])
    for inner in (attribute.g, *attribute.graphs):
        widen_half(inner)
    if attribute.name in _TYPE_ATTRIBUTES and attribute.i == TensorProto.FLOAT16:
        attribute.i = TensorProto.FLOAT


def _widen_tensors(tensors: Iterable[TensorProto]) -> None:
    for tensor in tensors:
        if tensor.data_type == TensorProto.FLOAT16:
            wide = numpy_helper.to_array(tensor).astype("float32")
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
