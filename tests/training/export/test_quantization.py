"""Int8 graphs: size, predictions, and omission if these differ too much."""

import numpy as np
import onnx
import pytest
import torch
from support.exported_models import publish_tiny_model, random_split, tiny_classifier

from models.card import Metrics
from training.evaluation.gate import GateError, check_loss
from training.export.calibration import Calibration
from training.export.onnx_file import export_onnx, predict_onnx
from training.export.quantization import quantize
from training.networks.architectures import mnist_cnn
from training.onnx_session import open_session
from training.recipes.zoo import MNIST


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Write the float32 and int8 graphs of a convolutional network."""
    folder, images = tmp_path_factory.mktemp("graphs"), random_split(count=128).images
    torch.manual_seed(0)
    classifier = tiny_classifier()
    classifier.network = mnist_cnn([128.0], [74.0]).eval()
    classifier.calibration = Calibration(temperature=0.5, floor=0.05)
    export_onnx(classifier, folder / "model.onnx", images)
    quantize(folder / "model.onnx", folder / "model.int8.onnx", images.numpy())
    return folder


def test_weights_are_int8_and_the_file_is_a_third_at_most(graphs):
    sizes = {name: (graphs / name).stat().st_size for name in ("model.onnx", "model.int8.onnx")}
    assert sizes["model.int8.onnx"] < sizes["model.onnx"] / 3
    matrices = [tensor for tensor in onnx.load(graphs / "model.int8.onnx").graph.initializer if len(tensor.dims) > 1]
    assert {tensor.data_type for tensor in matrices} == {onnx.TensorProto.INT8}


def test_int8_predictions_are_close_at_any_batch_size(graphs):
    images = random_split(count=70, seed=1).images.numpy()
    for count in (1, 70):
        found = predict_onnx(graphs / "model.int8.onnx", images[:count])
        assert np.abs(found - predict_onnx(graphs / "model.onnx", images[:count])).max() < 0.03
        assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


def test_calibration_stays_float32(graphs):
    images = random_split(count=70, seed=1).images.numpy()
    probabilities, logits = open_session(graphs / "model.int8.onnx").run(None, {"images": images})
    expected = Calibration(temperature=0.5, floor=0.05)(torch.from_numpy(logits))
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_losing_more_than_0_2_percent_is_rejected():
    right = Metrics(accuracy=0.95, nll=0.2, ece=0.01, num_images=10_000)
    max_loss = MNIST.max_accuracy_loss
    check_loss(Metrics(accuracy=0.948, nll=0.2, ece=0.01, num_images=10_000), right, max_loss=max_loss)
    with pytest.raises(GateError, match=r"accuracy is 0.30% below float32 \(limit 0.20%\)"):
        check_loss(Metrics(accuracy=0.947, nll=0.2, ece=0.01, num_images=10_000), right, max_loss=max_loss)


def test_version_is_published_without_a_rejected_int8_graph(tmp_path, capsys):
    folder = publish_tiny_model(tmp_path, calibration=random_split(count=64).images, max_accuracy_loss=-2.0)
    assert sorted(path.name for path in folder.iterdir()) == ["golden.npz", "model.onnx"]
    assert "no model.int8.onnx: accuracy is" in capsys.readouterr().err


def test_quantization_calibrates_on_the_training_images(tmp_path):
    train, test = random_split(count=64, seed=5).images // 2, random_split().images
    folder = publish_tiny_model(tmp_path, calibration=train)
    predicted = predict_onnx(folder / "model.int8.onnx", test.numpy())
    for images, is_equal in ((train, True), (test, False)):
        quantize(folder / "model.onnx", tmp_path / "expected.onnx", images.numpy())
        assert np.array_equal(predict_onnx(tmp_path / "expected.onnx", test.numpy()), predicted) == is_equal
