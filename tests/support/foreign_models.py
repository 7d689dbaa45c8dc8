"""ONNX classifiers as other projects export them, from one tiny random convolutional network."""

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE, CLASSES = 32, ("ant", "bee", "cat", "dog", "eel")


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """How the network is exported."""

    layout: str = "nchw"
    dtype: str = "float32"  # or float16, or uint8, which is normalized in the graph
    batch: int | str = "n"
    probabilities: bool = False
    reshape: tuple[int, ...] | None = None  # a constant shape instead of Flatten
    fixed_expand: bool = False  # an operation that works with its own batch size only
    channels: int = 3

    def save(self, path):
        """Write the file and return its path."""
        helper.set_model_props(model := self.make(), {"producer": "someone"})
        onnx.save(model, path)
        return path

    def make(self):
        kind = {"float16": TensorProto.FLOAT16}.get(self.dtype, TensorProto.FLOAT)
        real = np.float16 if self.dtype == "float16" else np.float32
        random = np.random.default_rng(0)
        weights = {
            "kernel": random.normal(size=(8, self.channels, 3, 3)) / 5,
            "matrix": random.normal(size=(8 * 16, len(CLASSES))) / 4,
        }
        nodes, x = [], "pixels"
        if self.dtype == "uint8":
            channel = (-1,) if self.layout == "nhwc" else (-1, 1, 1)
            weights |= {
                "mean": 255 * np.array(MEAN[: self.channels]).reshape(channel),
                "std": 255 * np.array(STD[: self.channels]).reshape(channel),
            }
            nodes.append(helper.make_node("Cast", [x], ["real"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Sub", ["real", "mean"], ["centred"]))
            nodes.append(helper.make_node("Div", ["centred", "std"], [x := "normal"]))
        if self.layout == "nhwc":
            nodes.append(helper.make_node("Transpose", [x], ["images"], perm=[0, 3, 1, 2]))  # a name of the contract
            x = "images"
        nodes.append(helper.make_node("Conv", [x, "kernel"], ["conv"], pads=[1, 1, 1, 1], strides=[2, 2]))
        nodes.append(helper.make_node("Relu", ["conv"], ["relu"]))
        nodes.append(helper.make_node("AveragePool", ["relu"], ["pool"], kernel_shape=[4, 4], strides=[4, 4]))
        constants = []
        if self.reshape:
            constants.append(numpy_helper.from_array(np.array(self.reshape), "shape"))
            nodes.append(helper.make_node("Reshape", ["pool", "shape"], ["flat"]))
        else:
            nodes.append(helper.make_node("Flatten", ["pool"], ["flat"]))
        x = "flat"
        if self.fixed_expand:  # a class token per image, as of a vision transformer exported for one batch size
            constants.append(numpy_helper.from_array(np.zeros((self.batch, 8), real), "token"))
            nodes.append(helper.make_node("Concat", ["flat", "token"], ["tokens"], axis=1))
            weights["matrix"] = np.concatenate([weights["matrix"], np.zeros((8, len(CLASSES)))])
            x = "tokens"
        nodes.append(helper.make_node("MatMul", [x, "matrix"], ["scores"]))
        if self.probabilities:
            nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
        constants += [numpy_helper.from_array(value.astype(real), name) for name, value in weights.items()]
        size = [self.channels, SIDE, SIDE] if self.layout == "nchw" else [SIDE, SIDE, self.channels]
        input_kind = TensorProto.UINT8 if self.dtype == "uint8" else kind
        output = "probabilities" if self.probabilities else "scores"
        graph = helper.make_graph(
            nodes,
            "foreign",
            [helper.make_tensor_value_info("pixels", input_kind, [self.batch, *size])],
            [helper.make_tensor_value_info(output, kind, [self.batch, len(CLASSES)])],
            constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def probabilities_of(path, tensors):
    """Run a foreign file on torchvision's tensors, (C, H, W) in the dtype of its input, one by one."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (node,), rows = session.get_inputs(), []
    is_nhwc = node.shape[3] in (1, 3)
    for tensor in tensors:
        (row,) = session.run(None, {node.name: (tensor.transpose(1, 2, 0) if is_nhwc else tensor)[None]})[0]
        rows.append(row.astype(np.float64))
    rows = np.stack(rows)
    if np.allclose(rows.sum(axis=1), 1, atol=1e-2):
        return rows
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
