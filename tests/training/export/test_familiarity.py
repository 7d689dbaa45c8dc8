"""Familiarity: its values in the graph, and its use by the service."""

import json

import numpy as np
import onnx
import pytest
import torch
from support.exported_models import publish_tiny_model, random_split, tiny_classifier
from support.service import encode
from torch import nn

from training.export.familiarity import add_familiarity, predict_familiarity, share_familiar
from training.export.onnx_file import CalibratedClassifier, ExportError, export_onnx, predict_onnx
from training.export.quantization import quantize
from training.networks.architectures import PixelNormalizer
from training.onnx_session import open_session

VAL = random_split(count=200)
OTHERS = random_split(count=77, seed=1).images.numpy()


def write_graph(folder, network=None):
    classifier = tiny_classifier()
    if network is not None:
        classifier = CalibratedClassifier(network, classifier.calibration)
    export_onnx(classifier, folder / "model.onnx", VAL.images)
    return folder / "model.onnx"


def logits_of(path, images):
    return open_session(path).run(["logits"], {"images": images})[0].astype(np.float64)


def largest_logits_of(path, images):
    return logits_of(path, images).max(axis=1)


def fraction_below(scores, values):
    """Return the fraction of scores no higher than each value, on the same levels."""
    levels = np.array([0, *np.arange(1, 10) / 1000, *np.arange(1, 101) / 100])
    return levels[(values[:, None] >= np.quantile(scores, levels[1:])).sum(axis=1)]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_familiarity_is_the_fraction_of_val_scores_not_higher(tmp_path, precision):
    path = write_graph(tmp_path)
    if precision == "int8":
        quantize(path, tmp_path / "model.int8.onnx", VAL.images.numpy())
        path = tmp_path / "model.int8.onnx"
    before = predict_onnx(path, OTHERS)
    add_familiarity(path, VAL, smoothed=False)
    expected = fraction_below(largest_logits_of(path, VAL.images.numpy()), largest_logits_of(path, OTHERS))
    for count in (1, 2, 77):
        found = predict_familiarity(path, OTHERS[:count])
        np.testing.assert_allclose(found, expected[:count], atol=0.011)  # rounding may move a logit across a threshold
    assert np.abs(found - expected).mean() < 0.001
    np.testing.assert_array_equal(predict_onnx(path, OTHERS), before)
    trees = [node for node in onnx.load(path).graph.node if node.op_type == "TreeEnsembleRegressor"]
    assert len(trees) == (precision == "int8")  # trees have no GPU kernel


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 0.001), ("int8", 0.1)])
def test_familiarity_uses_feature_projections_if_smoothed(tmp_path, precision, tolerance):
    torch.manual_seed(0)
    body = nn.Sequential(PixelNormalizer([128.0], [64.0]), nn.Flatten(), nn.Linear(784, 12), nn.ReLU())
    path = write_graph(tmp_path, nn.Sequential(*body, nn.Linear(12, 10)))
    if precision == "int8":
        quantize(path, tmp_path / "model.int8.onnx", VAL.images.numpy())
        path = tmp_path / "model.int8.onnx"
    add_familiarity(path, VAL, smoothed=True)
    with torch.inference_mode():
        known, others = (body(torch.as_tensor(images)).double().numpy() for images in (VAL.images, OTHERS))
    means = np.stack([known[VAL.labels.numpy() == label].mean(axis=0) for label in range(10)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    expected = fraction_below((known @ means.T).max(axis=1), (others @ means.T).max(axis=1))
    assert np.abs(predict_familiarity(path, OTHERS) - expected).mean() < tolerance


def test_one_val_image_in_twenty_is_unfamiliar(tmp_path):
    path = write_graph(tmp_path)
    add_familiarity(path, VAL, smoothed=False)
    values = predict_familiarity(path, VAL.images.numpy()).round(3)
    assert (values < 0.05).mean() == pytest.approx(0.05, abs=0.006)
    assert (values.min(), values.max()) == (0.0, 1.0)


@pytest.mark.parametrize(("precision", "ties"), [("float32", 2), ("int8", 25)])  # int8 scores have ties
def test_familiarity_below_1_percent_has_steps_of_0_001(tmp_path, precision, ties):
    path, val = write_graph(tmp_path), random_split(count=2000)
    if precision == "int8":
        quantize(path, tmp_path / "model.int8.onnx", VAL.images.numpy())
        path = tmp_path / "model.int8.onnx"
    add_familiarity(path, val, smoothed=False)
    least = predict_familiarity(path, val.images.numpy()).astype(np.float64)
    least = least[least < 0.01]
    assert len(least) == pytest.approx(20, abs=ties)
    assert len(set(least.round(3)) - {0.0}) > 4
    np.testing.assert_allclose(least, least.round(3), atol=1e-5)


def test_add_familiarity_rejects_unsuitable_graphs(tmp_path):
    path = write_graph(tmp_path, nn.Sequential(PixelNormalizer([128.0], [64.0]), nn.Flatten(), nn.Softmax(dim=1)))
    with pytest.raises(ExportError, match="no linear layer"):
        add_familiarity(path, VAL, smoothed=True)
    add_familiarity(path, VAL, smoothed=False)
    with pytest.raises(ExportError, match="already has the output familiarity"):
        add_familiarity(path, VAL, smoothed=False)


def test_images_are_familiar_from_5_percent():
    assert share_familiar(np.array([0.0, 0.04, 0.05, 1.0], np.float32)) == 0.5


@pytest.fixture
def service_with_familiarity(tmp_path, start):
    """Start a service with familiarity; also return a familiar and another image."""
    folder = publish_tiny_model(tmp_path, "tiny", image_shape=(8, 8, 3), preparation="photo")
    val = random_split(image_shape=(8, 8, 3), count=100)
    add_familiarity(folder / "model.onnx", val, smoothed=False)
    values = predict_familiarity(folder / "model.onnx", val.images.numpy())
    pictures = [encode(val.images[int(row)].numpy()) for row in (values.argmax(), values.argmin())]
    return start(models_dir=tmp_path), pictures


def test_responses_have_familiarity_and_unfamiliar_are_counted(service_with_familiarity):
    service, (familiar, unfamiliar) = service_with_familiarity
    route = "/v1/models/tiny/classify"
    prediction = service.post(route, content=familiar).json()
    assert list(prediction) == ["model", "version", "label", "confidence", "probabilities", "familiarity", "familiar"]
    assert (prediction["familiarity"], prediction["familiar"]) == (1.0, True)
    files = [("images", ("a.png", content)) for content in (familiar, unfamiliar, unfamiliar)]
    predictions = service.post(f"{route}-batch", files=files).json()["predictions"]
    assert [one["familiar"] for one in predictions] == [True, False, False]
    assert predictions[1]["familiarity"] == 0.0
    lines = service.get("/metrics").text.splitlines()
    assert 'classifier_unfamiliar_total{model="tiny",version="1"} 2.0' in lines
    outputs = service.get("/v1/models/tiny").json()["outputs"]
    assert outputs["familiarity"] == {"dtype": "float32", "shape": ["batch"]}


def test_response_of_a_model_without_familiarity_omits_it(service, digit_png):
    assert "familiar" not in json.dumps(service.post("/v1/models/mnist/classify", content=digit_png).json())
