"""Conversion of half precision to float32."""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from training.adoption.half import has_half, widen_half

HALF = TensorProto.FLOAT16
WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float16)


def mixed_model():
    """A graph of float32 ends, with half precision in weights, casts, constants and both branches of an If."""
    wide = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])

    def branch(name, operator):
        constant = helper.make_node("Constant", [], [f"{name}-two"], value=numpy_helper.from_array(np.float16([2])))
        node = helper.make_node(operator, ["scores", f"{name}-two"], [name])
        return helper.make_graph([constant, node], name, [], [helper.make_tensor_value_info(name, HALF, ["n", 3])])

    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=HALF),
        helper.make_node("MatMul", ["half", "weights"], ["scores"]),
        helper.make_node("If", ["yes"], ["chosen"], then_branch=branch("a", "Mul"), else_branch=branch("b", "Add")),
        helper.make_node("Cast", ["chosen"], ["y"], to=TensorProto.FLOAT),
    ]
    constants = [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(np.array(True), "yes")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph(nodes, "mixed", [x], [wide], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_half_precision_is_widened_everywhere():
    model = mixed_model()
    assert has_half(model)
    widen_half(model.graph)
    assert not has_half(model)
    assert "FLOAT16" not in onnx.printer.to_text(model).upper()
    onnx.checker.check_model(model, full_check=True)
    x = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], 2 * (x @ WEIGHTS.astype(np.float32)), rtol=1e-5)


def test_model_without_half_precision_is_unchanged():
    model = mixed_model()
    widen_half(model.graph)
    before = model.SerializeToString(deterministic=True)
    widen_half(model.graph)
    assert not has_half(model)
    assert model.SerializeToString(deterministic=True) == before
