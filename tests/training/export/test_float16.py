"""Float16 graphs: converted layers, equal predictions, publication."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.exported_models import publish_tiny_model, random_split
from support.paths import ROOT

from models.contract import FLOAT16_GOLDEN_TOLERANCE, newest_version
from training.evaluation.gate import GateError, check_golden
from training.export.float16 import convert_to_float16
from training.onnx_session import open_session
from training.pipeline.publishing import add_float16
from training.reporting.report import read_card

MODELS = ("mnist", "mnist-cnn", "mnist-resnet", "cifar10")


@pytest.fixture(params=MODELS)
def graphs(request, tmp_path):
    """Return the graphs of a published model in float32 and float16."""
    source = newest_version(ROOT / "models" / request.param) / "model.onnx"
    convert_to_float16(source, tmp_path / "half.onnx")
    return source, tmp_path / "half.onnx"


def test_float16_predictions_are_the_same(graphs):
    source, _half = graphs
    with np.load(source.with_name("golden.npz")) as golden:
        images = golden["images"]
    outputs = ["probabilities", "familiarity"]
    expected, found = (open_session(path).run(outputs, {"images": images}) for path in graphs)
    assert [output.dtype for output in found] == [np.float32, np.float32]
    assert np.abs(found[0] - expected[0]).max() < FLOAT16_GOLDEN_TOLERANCE
    assert np.abs(found[1] - expected[1]).max() < 0.05


def test_weighted_layers_are_float16_without_casts_between_them(graphs):
    source, half = graphs
    graph = onnx.load(half).graph
    kinds = {weights.name: weights.data_type for weights in graph.initializer}
    for node in graph.node:
        if node.op_type in {"Conv", "Gemm"} and not node.name.startswith("familiarity"):
            assert {kinds[name] for name in node.input[1:]} == {TensorProto.FLOAT16}
    casts = [node for node in graph.node if node.op_type == "Cast"]
    before = [node for node in onnx.load(source).graph.node if node.op_type == "Cast"]
    assert len(casts) - len(before) <= 3  # input, output, and the features for familiarity
    assert half.stat().st_size < 0.52 * source.stat().st_size


def test_shared_tensor_is_cast_once(tmp_path):
    weights = numpy_helper.from_array(np.eye(4, dtype=np.float32), "weights")
    nodes = [
        helper.make_node("Gemm", ["images", "weights"], ["first"]),
        helper.make_node("Gemm", ["images", "weights"], ["second"]),
        helper.make_node("Add", ["first", "second"], ["sum"]),
        helper.make_node("Softmax", ["sum"], ["soft"]),
        helper.make_node("Mul", ["soft", "sum"], ["output"]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("images", "output")]
    graph = helper.make_graph(nodes, "graph", ports[:1], ports[1:], [weights])
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "float.onnx")
    convert_to_float16(tmp_path / "float.onnx", tmp_path / "half.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "half.onnx").graph.node]
    assert kinds == ["Cast", "Gemm", "Gemm", "Add", "Cast", "Softmax", "Mul"]
    images = {"images": np.array([[1, 2, 3, 4]], np.float32)}
    expected, found = (open_session(tmp_path / name).run(None, images)[0] for name in ("float.onnx", "half.onnx"))
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_float16_graph_has_its_own_card(tmp_path):
    folder = publish_tiny_model(tmp_path)
    card = read_card(folder / "model.onnx")
    add_float16(folder, card, random_split(), max_accuracy_loss=1.0)
    half = read_card(folder / "model.float16.onnx")
    assert (half.precision, half.name, half.test.num_images) == ("float16", card.name, 20)


def test_inaccurate_float16_graph_is_omitted_with_a_message(tmp_path, capsys):
    folder = publish_tiny_model(tmp_path)
    card = read_card(folder / "model.onnx")
    add_float16(folder, card, random_split(), max_accuracy_loss=-2.0)
    assert "no model.float16.onnx: accuracy is" in capsys.readouterr().err
    model = onnx.load(folder / "model.onnx")
    for weights in model.graph.initializer:
        if weights.name.endswith("weight"):
            weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 1e6, weights.name))
    onnx.save(model, folder / "model.onnx")
    add_float16(folder, card, random_split(), max_accuracy_loss=1.0)
    assert "no model.float16.onnx: golden images: probabilities differ by" in capsys.readouterr().err
    assert not (folder / "model.float16.onnx").exists()


def test_golden_check_has_a_tolerance_for_float16(tmp_path):
    folder = publish_tiny_model(tmp_path)
    convert_to_float16(folder / "model.onnx", folder / "model.float16.onnx")
    check_golden(folder / "model.float16.onnx", "float16")
    with np.load(folder / "golden.npz") as golden:
        images, probabilities = golden["images"], golden["probabilities"]
    np.savez(folder / "golden.npz", images=images, probabilities=probabilities + 2 * FLOAT16_GOLDEN_TOLERANCE)
    with pytest.raises(GateError, match="golden images: probabilities differ"):
        check_golden(folder / "model.float16.onnx", "float16")
