"""Tests of int8 files on processors without VNNI, emulated by QEMU."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnxruntime.quantization import QuantType, quantize_static
from support.exported_models import publish_tiny_model, random_split, tiny_classifier
from support.tools import needs
from torch import nn

from benchmarks import processors
from benchmarks.processors import QEMU, EmulatorError, emulate, find_graphs
from models.contract import INT8_GOLDEN_FILE, INT8_GOLDEN_TOLERANCE, INT8_MODEL_FILE
from service.runtime.golden_check import golden_difference
from service.runtime.session import OnnxClassifier
from training.evaluation.gate import write_golden
from training.export.onnx_file import ExportError, write_card
from training.export.quantization import CalibrationBatches, check_weight_range, quantize
from training.networks.architectures import PixelNormalizer
from training.reporting.report import read_card

EMULATED = ["max", "Nehalem"]  # AVX2 without VNNI, SSE4.1
NEEDS_QEMU = needs(QEMU)
BRIGHT = torch.full((16, 28, 28), 255, dtype=torch.uint8)


@NEEDS_QEMU
@pytest.mark.parametrize("processor", EMULATED)
def test_published_int8_files_agree_on_emulated_processors(processor):
    paths = [find_graphs(name)["int8"] for name in ("mnist", "mnist-resnet", "cifar10")]
    differences = emulate(processor, paths, 4)
    assert len(differences) == len(paths)
    assert max(differences.values()) <= INT8_GOLDEN_TOLERANCE


@pytest.mark.parametrize("name", ["mnist", "mnist-resnet", "cifar10"])
def test_published_int8_files_cannot_saturate(name):
    path = find_graphs(name)["int8"]
    check_weight_range(path)
    assert read_card(path).weight_bits == 7


@pytest.fixture
def saturating(tmp_path):
    """A version with 8-bit weights and golden probabilities of exact arithmetic."""
    classifier = tiny_classifier()
    linear = nn.Linear(784, 10, bias=False)
    with torch.no_grad():  # class k sums its first 40 (k + 1) pixels: in 8 bits, every pair of products saturates
        linear.weight[:] = 0.01 * (torch.arange(784) < 40 * (1 + torch.arange(10))[:, None])
    classifier.network = nn.Sequential(PixelNormalizer([0.0], [255.0]), nn.Flatten(), linear)
    folder = publish_tiny_model(tmp_path, classifier=classifier)
    path = folder / INT8_MODEL_FILE
    calibration = CalibrationBatches(np.concatenate([random_split(count=64).images.numpy(), BRIGHT.numpy()]))
    quantize_static(
        folder / "model.onnx",
        path,
        calibration,
        op_types_to_quantize=["Gemm", "MatMul"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    write_card(path, replace(read_card(folder / "model.onnx"), precision="int8"))
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    exact = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = BRIGHT.numpy()
    write_golden(folder / INT8_GOLDEN_FILE, images, exact.run(["probabilities"], {"images": images})[0])
    return path


@NEEDS_QEMU
def test_8_bit_file_is_exact_without_vnni(saturating):
    assert emulate("max", [saturating], 4)[str(saturating)] <= INT8_GOLDEN_TOLERANCE
    write_card(saturating, replace(read_card(saturating), weight_bits=7))  # false, so the exact option is not set
    assert emulate("max", [saturating], 4)[str(saturating)] > 10 * INT8_GOLDEN_TOLERANCE


def test_check_weight_range_rejects_a_float32_file():
    with pytest.raises(ExportError, match="expected layers with int8 weights, found none"):
        check_weight_range(find_graphs("mnist")["float32"])


def test_check_weight_range_rejects_8_bit_weights(saturating):
    with pytest.raises(ExportError, match=r"weight .* has values up to 127, expected at most 64"):
        check_weight_range(saturating)


def test_quantization_keeps_weights_in_7_bits(saturating, tmp_path):
    path = tmp_path / "model.int8.onnx"
    quantize(saturating.with_name("model.onnx"), path, random_split(count=64).images.numpy())
    check_weight_range(path)


def test_all_golden_images_pass_on_this_processor():
    for name in ("mnist", "mnist-resnet", "cifar10"):
        path = find_graphs(name)["int8"]
        with np.load(path.with_name(INT8_GOLDEN_FILE)) as golden:
            assert len(golden["images"]) == 256
        assert golden_difference(OnnxClassifier(path, device="cpu", threads=2)) <= INT8_GOLDEN_TOLERANCE


def test_benchmark_prints_every_file(capsys):
    assert processors.main(["--models", "mnist", "--data-dir", "tests/data"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| mnist/")]
    assert [row.split("|")[1].strip().rsplit("/", 1)[1] for row in rows] == ["model.onnx", "model.int8.onnx"]


def test_missing_emulator_is_reported_with_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EmulatorError, match="apt-get install qemu-user"):
        emulate("max", [], 1)


def test_int8_file_has_no_float_weight_matrices():
    matrices = [t for t in onnx.load(find_graphs("mnist")["int8"]).graph.initializer if len(t.dims) == 2]
    assert {tensor.data_type for tensor in matrices} == {onnx.TensorProto.INT8}
