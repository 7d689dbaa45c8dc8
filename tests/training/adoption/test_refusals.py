"""Files and options that cannot be adopted: one message, nothing published."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.foreign_models import CLASSES, Foreign

from training.__main__ import main

LABELS = "\n".join(CLASSES)
RESIZE = {"--preparation": ["squash"], "--interpolation": ["bilinear"]}
NORMAL = {"--scale": ["1"], "--mean": ["0.5"], "--std": ["0.25"]}


@pytest.fixture
def refuse(tmp_path, capsys):
    """Return a function that adopts a file and returns the one line that refuses it."""

    def run(model, *, names=LABELS, **options):
        path = model if hasattr(model, "suffix") else tmp_path / "net.onnx"
        if isinstance(model, bytes):
            path.write_bytes(model)
        elif isinstance(model, onnx.ModelProto):
            onnx.save(model, path)
        elif isinstance(model, Foreign):
            model.save(path)
        labels = tmp_path / ("labels.json" if names[:1] in ("[", "{") else "labels.txt")
        labels.write_text(names)
        given = RESIZE | NORMAL | {"--labels": [str(labels)]}
        given |= {f"--{name.replace('_', '-')}": value for name, value in options.items()}
        arguments = [text for name, values in given.items() if values is not None for text in (name, *values)]
        out = tmp_path / "models"
        assert main(["adopt", str(path), "--name", "net", "--out", str(out), *arguments]) == 1
        assert not out.exists()
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("net: ")
        return line

    return run


def scorer(*, inputs=("pixels",), input_shape=("n", 3, 8, 8), output_shape=("n", 5), nodes=None, opset=13, kind=1):
    """Make a graph whose output has the given shape, from a reduction of its first input."""
    axes = list(range(len(input_shape)))[1:]
    nodes = nodes or [
        helper.make_node("ReduceMean", [inputs[0]], ["mean"], axes=axes[1:], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["scores"]),
    ]
    matrix = numpy_helper.from_array(np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32), "matrix")
    graph = helper.make_graph(
        nodes,
        "scorer",
        [helper.make_tensor_value_info(name, kind, input_shape) for name in inputs],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, output_shape)],
        [matrix],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_file_that_is_no_onnx_file_is_refused(refuse):
    assert "net.onnx is not an ONNX file" in refuse(b"\x80\x04pickle")
    assert "net.onnx is not an ONNX file" in refuse(b"")


def test_missing_file_is_refused(refuse, tmp_path):
    assert "cannot read" in refuse(tmp_path / "absent.onnx")


def test_missing_external_data_is_refused(refuse, tmp_path):
    onnx.save(
        Foreign().make(), tmp_path / "big.onnx", save_as_external_data=True, location="big.data", size_threshold=0
    )
    (tmp_path / "big.data").unlink()
    assert "keeps weights in big.data, which is missing; copy it next to big.onnx" in refuse(tmp_path / "big.onnx")


def test_two_inputs_are_refused(refuse):
    nodes = [
        helper.make_node("Add", ["pixels", "mask"], ["sum"]),
        helper.make_node("ReduceMean", ["sum"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["scores"]),
    ]
    assert "expected one input, got 2: pixels, mask" in refuse(scorer(inputs=("pixels", "mask"), nodes=nodes))


def test_input_of_another_type_is_refused(refuse):
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=1),
        helper.make_node("ReduceMean", ["real"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["scores"]),
    ]
    assert "expected an input of type float32, float16, uint8, got tensor(int64)" in refuse(
        scorer(nodes=nodes, kind=TensorProto.INT64)
    )


def test_graph_without_a_batch_axis_is_refused(refuse):
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["scores"]),
    ]
    assert "output scores (5) has no batch axis" in refuse(
        scorer(input_shape=(3, 8, 8), output_shape=(5,), nodes=nodes)
    )


def test_output_that_is_no_classification_is_refused(refuse):
    nodes = [helper.make_node("Relu", ["pixels"], ["scores"])]
    line = refuse(scorer(output_shape=("n", 3, 8, 8), nodes=nodes))
    assert "expected an output with a number per class" in line
    assert "got scores (n, 3, 8, 8)" in line


def test_several_outputs_need_a_name(refuse):
    model = scorer()
    model.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["n", 3]))
    assert "it has several outputs; --output-name is one of: scores, mean" in refuse(model)
    assert "got 'none'; --output-name is one of: scores, mean" in refuse(model, output_name=["none"])
    assert "labels.txt has 5 class names, the network has 3 classes" in refuse(model, output_name=["mean"])


def test_operator_and_opset_that_onnx_runtime_lacks_are_refused(refuse):
    unknown = scorer(nodes=[helper.make_node("Mystery", ["pixels"], ["scores"])])
    assert re.search(r"ONNX Runtime .* cannot load it: .*Mystery", refuse(unknown))
    assert re.search(r"ONNX Runtime .* cannot load it", refuse(scorer(opset=99)))


def test_quantized_file_is_refused(refuse):
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["pixels"], ["bytes", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["real"]),
        helper.make_node("ReduceMean", ["real"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["scores"]),
    ]
    assert "is quantized (DynamicQuantizeLinear)" in refuse(scorer(nodes=nodes))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("a\nb", "labels.txt has 2 class names, the network has 5 classes"),
        ("a\nb\nc\nd\na", "class names must be distinct; repeated: 'a'"),
        ("a\n\nc\nd\ne", "class 1 has no name"),
        ('{"0": "a"', "expected a JSON list of names"),
        ('{"1": "a"}', "expected a JSON list of names"),
        ("[1, 2, 3, 4, 5]", "expected names of type string"),
    ],
)
def test_labels_that_do_not_fit_are_refused(refuse, labels, message):
    assert message in refuse(Foreign(), names=labels)


def test_missing_options_are_named_together(refuse):
    line = refuse(Foreign(), preparation=None, scale=None, mean=None, std=None, labels=None, interpolation=None)
    assert re.findall(r"--[a-z]+", line) == [
        "--labels",
        "--preparation",
        "--interpolation",
        "--scale",
        "--mean",
        "--std",
    ]
    assert "--side (shorter side" in refuse(Foreign(), preparation=["center-crop"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": ["1"], "mean": ["123.7"], "std": ["58.4"]}, "statistics of pixels from 0 to 255; use --scale 255"),
        ({"scale": ["1"], "std": ["58.4"]}, "statistics of pixels from 0 to 255; use --scale 255"),
        ({"scale": ["255"]}, "statistics of pixels from 0 to 1; use --scale 1"),
        ({"std": ["0"]}, "--std: expected positive numbers, got 0 0 0"),
        ({"mean": ["0.5", "0.5"]}, "--mean: expected 3 numbers, one per channel, got 2"),
        ({"side": ["40"]}, "--side: squash has no shorter side"),
        ({"layout": ["nhwc"]}, "--layout nhwc: the input (any, 3, 32, 32) has another layout"),
        ({"size": ["24", "24"]}, "--size 24 24: the input (any, 3, 32, 32) has another size"),
        ({"output": ["probabilities"]}, "--output probabilities: the outputs of 16 random images do not sum to 1"),
    ],
)
def test_options_that_contradict_the_file_are_refused(refuse, options, message):
    assert message in refuse(Foreign(), **options)


def test_probabilities_that_are_called_logits_are_refused(refuse):
    message = "--output logits: the outputs of 16 random images sum to 1; use --output probabilities"
    assert message in refuse(Foreign(probabilities=True), output=["logits"])


def test_statistics_for_uint8_pixels_are_refused(refuse):
    message = "--scale: net.onnx takes uint8 pixels, which are not normalized"
    assert message in refuse(Foreign(dtype="uint8"))


def test_input_that_leaves_layout_or_size_open_is_refused(refuse):
    assert "may be NCHW or NHWC; state it with --layout" in refuse(scorer(input_shape=("n", "c", "h", "w")))
    assert "state it with --size H W" in refuse(scorer(input_shape=("n", 3, "h", "w")))


def test_independent_probabilities_and_constant_outputs_are_refused(refuse):
    mean = helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[2, 3], keepdims=0)
    product = helper.make_node("MatMul", ["mean", "matrix"], ["product"])
    sigmoid = scorer(nodes=[mean, product, helper.make_node("Sigmoid", ["product"], ["scores"])])
    assert "do not sum to 1; probabilities of independent labels (sigmoid) are not supported" in refuse(sigmoid)
    constant = scorer(nodes=[mean, product, helper.make_node("Sub", ["product", "product"], ["scores"])])
    assert "the outputs of 16 random images are all the same" in refuse(constant)


def test_graph_that_needs_its_own_batch_size_is_refused(refuse):
    line = refuse(Foreign(batch=4, fixed_expand=True))
    assert "no graph for any batch size gives the source's probabilities" in line
    assert line.endswith("export the network in evaluation mode, with a dynamic batch axis")


def test_invalid_name_is_refused(tmp_path, capsys):
    assert main(["adopt", str(tmp_path), "--name", "a/b", "--out", str(tmp_path / "models")]) == 1
    assert "--name: expected letters, digits" in capsys.readouterr().err
