"""Export: the file fulfils the contract, and other files are rejected."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.exported_models import Drifting, publish_tiny_model, random_split
from support.paths import ROOT

from models.card import ModelCard
from training.export.calibration import Calibration
from training.export.onnx_file import (
    PARITY_BATCHES,
    CalibratedClassifier,
    ExportError,
    check_onnx,
    export_onnx,
    predict_onnx,
)
from training.networks.architectures import cifar10_cnn, mnist_mlp
from training.onnx_session import open_session

NETWORKS = {
    (28, 28): lambda: mnist_mlp([33.0], [78.0]),
    (32, 32, 3): lambda: cifar10_cnn([125.0, 123.0, 114.0], [63.0, 62.0, 67.0]),
}


@pytest.fixture(scope="module", params=NETWORKS, ids=["mnist", "cifar10"])
def exported(request, tmp_path_factory):
    """Export each untrained network; return path, classifier and images."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    floor = 0.03 if len(request.param) == 3 else 0.0
    classifier = CalibratedClassifier(NETWORKS[request.param](), Calibration(temperature=1.7, floor=floor))
    images = random_split(image_shape=request.param, count=64).images
    export_onnx(classifier, path, images)
    return path, classifier, images


def test_input_is_a_uint8_batch_of_any_size(exported):
    path, _, images = exported
    (found,) = onnx.load(path).graph.input
    assert found.name == "images"
    assert found.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    batch, *shape = found.type.tensor_type.shape.dim
    assert batch.dim_param == "batch"
    assert tuple(dim.dim_value for dim in shape) == tuple(images.shape[1:])


def test_outputs_are_probabilities_and_uncalibrated_logits(exported):
    path, classifier, images = exported
    assert [output.name for output in open_session(path).get_outputs()] == ["probabilities", "logits"]
    probabilities, logits = open_session(path).run(None, {"images": images.numpy()})
    assert (probabilities.dtype, logits.dtype) == (np.float32, np.float32)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.allclose(probabilities, classifier.calibration(torch.tensor(logits)), atol=1e-6)


@pytest.mark.parametrize("batch_size", PARITY_BATCHES)
def test_every_batch_size_equals_pytorch(exported, batch_size):
    path, classifier, images = exported
    with torch.inference_mode():
        expected = classifier(images[:batch_size])[0].numpy()
    found = predict_onnx(path, images[:batch_size].numpy())
    assert found.shape == (batch_size, 10)
    assert np.abs(found - expected).max() <= 1e-5


def test_export_writes_one_file(exported):
    path, _, _ = exported
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"]


def test_file_contains_no_paths_of_the_machine(exported):
    content = exported[0].read_bytes()
    assert str(ROOT).encode() not in content
    assert str(Path(torch.__file__).parents[1]).encode() not in content


def test_predictions_do_not_depend_on_the_batch_size(exported):
    path, _, images = exported
    together = predict_onnx(path, images.numpy())
    assert np.allclose(predict_onnx(path, images.numpy(), batch_size=5), together, atol=1e-6)


def test_file_that_differs_from_pytorch_is_rejected(tmp_path):
    classifier = CalibratedClassifier(Drifting(right_calls=1), Calibration(temperature=1.0))
    with pytest.raises(ExportError, match=r"differs from PyTorch by .* at batch size 2 \(limit 1e-05\)"):
        export_onnx(classifier, tmp_path / "model.onnx", random_split().images)


def test_file_that_is_not_onnx_is_rejected(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ExportError, match="not valid ONNX"):
        check_onnx(path)


def test_graph_with_contradictory_shapes_is_rejected(tmp_path):
    path = publish_tiny_model(tmp_path) / "model.onnx"
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3  # the graph has ten classes
    onnx.save(model, path)
    with pytest.raises(ExportError, match="not valid ONNX"):
        check_onnx(path)


def test_weights_in_another_file_are_rejected(tmp_path):
    path = publish_tiny_model(tmp_path) / "model.onnx"
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(ExportError, match="keeps weights in another file"):
        check_onnx(path)


def test_file_contains_the_card(tmp_path):
    path = publish_tiny_model(tmp_path, name="shapes", class_names=("circle", "square"), image_shape=(9, 7, 3))
    card = ModelCard.from_metadata(open_session(path / "model.onnx").get_modelmeta().custom_metadata_map)
    assert (card.name, card.version, card.class_names) == ("shapes", "1", ("circle", "square"))
    assert card.test.num_images == 20
    assert json.loads(card.to_metadata()["model_card"])["test"]["accuracy"] == card.test.accuracy
