"""Graph surgery: from the source's input and output to those of the contract."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

from training.adoption.facts import InputFormat, Output
from training.adoption.half import widen_half
from training.adoption.source import Source

PREFIX = "source/"  # of all names of the source, so that they differ from the contract's
MIN_IR_VERSION = 4  # before it, every initializer had to be an input too
MIN_SCAN_OPSET = 9


def adopt_graph(
    source: Source, image: InputFormat, output: Output, *, num_classes: int, one_by_one: bool = False
) -> ModelProto:
    """Return a graph with input ``images``, uint8 and any batch size, and output ``probabilities``.

    Args:
        source: classifier, whose model stays unchanged.
        image: format of the source's input.
        output: kind of the source's output.
        num_classes: K.
        one_by_one: run the source for each image of a batch (Scan), if it works with a batch of one only.
    """
    model = compose.add_prefix(source.model, PREFIX)
    graph = model.graph
    widen_half(graph)
    (inner,) = {node.name for node in graph.input} - {tensor.name for tensor in graph.initializer}
    scores = PREFIX + source.output_name
    builder = _Nodes()
    prepared = _prepare(builder, image)
    if one_by_one:
        result = builder.add("Scan", prepared, body=_body(graph, image, inner, scores, num_classes), num_scan_inputs=1)
    else:
        builder.nodes += [helper.make_node("Identity", [prepared], [inner]), *graph.node]
        if source.batch is not None:
            _free_reshapes(graph, builder, source.batch)
        result = scores
    result = builder.add("Cast", result, to=TensorProto.FLOAT)
    last = helper.make_node("Softmax", [result], ["probabilities"], axis=1)
    if output == "probabilities":
        last = helper.make_node("Identity", [result], ["probabilities"])
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]  # the checker infers value_info again
    graph.node.extend([*builder.nodes, last])
    used = _used_names(graph)
    weights = [tensor for tensor in [*graph.initializer, *builder.constants] if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(weights)
    graph.input.append(helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", *image.image_shape]))
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", num_classes]))
    model.ir_version = max(model.ir_version, MIN_IR_VERSION)
    del model.metadata_props[:]
    return model


def can_scan(source: Source) -> bool:
    """Return whether the source can run for each image of a batch."""
    opset = max((entry.version for entry in source.model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)
    return source.batch == 1 and opset >= MIN_SCAN_OPSET


def count_parameters(model: ModelProto) -> int:
    """Return the number of weights that are not integers."""
    kinds = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer if tensor.data_type in kinds)


def _used_names(graph: GraphProto) -> set[str]:
    """Return the names of all tensors that nodes take, also in subgraphs."""
    used = {name for node in graph.node for name in node.input} | {node.name for node in graph.output}
    attributes = (attribute for node in graph.node for attribute in node.attribute)
    return used.union(*(_used_names(inner) for attribute in attributes for inner in (attribute.g, *attribute.graphs)))


class _Nodes:
    """Nodes and constants of the new graph, in order."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, operator: str, source: str, *constants: NDArray[Any], **attributes: Any) -> str:  # noqa: ANN401
        """Add a node with one output, and return the name of the output."""
        name = f"adopted/{len(self.nodes)}"
        names = [self.constant(f"{name}/{index}", value) for index, value in enumerate(constants)]
        self.nodes.append(helper.make_node(operator, [source, *names], [name], **attributes))
        return name

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant, and return its name."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name


def _prepare(builder: _Nodes, image: InputFormat) -> str:
    """Add the operators from ``images`` to the source's input, in the order of torchvision: ToTensor, Normalize."""
    prepared = "images"
    if image.channels == 3 and image.layout == "nchw":
        prepared = builder.add("Transpose", prepared, perm=[0, 3, 1, 2])
    elif image.channels == 1 and image.layout != "nhw":
        prepared = builder.add("Reshape", prepared, np.array([0, *_input_shape(image)]))  # 0 keeps the batch axis
    if image.dtype == "uint8":
        return prepared
    prepared = builder.add("Cast", prepared, to=TensorProto.FLOAT)
    if image.scale == 1:
        prepared = builder.add("Div", prepared, np.array(255, np.float32))
    along_channels = (-1, 1, 1) if image.layout == "nchw" else (-1,)
    if any(value != 0 for value in image.mean):
        prepared = builder.add("Sub", prepared, np.array(image.mean, np.float32).reshape(along_channels))
    if any(value != 1 for value in image.std):
        prepared = builder.add("Div", prepared, np.array(image.std, np.float32).reshape(along_channels))
    return prepared


def _input_shape(image: InputFormat) -> tuple[int, ...]:
    """Return the shape of the source's input without the batch axis."""
    size = (image.height, image.width)
    return {"nchw": (image.channels, *size), "nhwc": (*size, image.channels), "nhw": size}[image.layout]


def _body(graph: GraphProto, image: InputFormat, inner: str, scores: str, num_classes: int) -> GraphProto:
    """Return the source as the body of a Scan: one image to its scores; the weights stay outside."""
    shape, builder = _input_shape(image), _Nodes()
    batch = builder.constant("adopted/one", np.array([1, *shape]))
    row = builder.constant("adopted/row", np.array([num_classes]))
    nodes = [
        helper.make_node("Reshape", ["adopted/image", batch], [inner]),
        *graph.node,
        helper.make_node("Reshape", [scores, row], ["adopted/scores"]),
    ]
    pixels = TensorProto.UINT8 if image.dtype == "uint8" else TensorProto.FLOAT
    kind = {node.name: node.type.tensor_type.elem_type for node in graph.output}[scores]
    return helper.make_graph(
        nodes,
        "one image",
        [helper.make_tensor_value_info("adopted/image", pixels, shape)],
        [helper.make_tensor_value_info("adopted/scores", kind, [num_classes])],
        builder.constants,
    )


def _free_reshapes(graph: GraphProto, builder: _Nodes, batch: int) -> None:
    """Let constant shapes of Reshape that begin with the fixed batch size have any first axis."""
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if len(tensor.dims) == 1}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            shapes[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    for index, node in enumerate(builder.nodes):
        shape = shapes.get(node.input[1]) if node.op_type == "Reshape" and len(node.input) == 2 else None
        if shape is not None and shape.dtype == np.int64 and shape.ndim == 1 and len(shape) and shape[0] == batch:
            free = np.array([0 if -1 in shape[1:] else -1, *shape[1:]])
            node.input[1] = builder.constant(f"adopted/shape{index}", free)
