"""Tests of publication: a version is complete and checked, or absent."""

import numpy as np
import pytest
import torch
from support.exported_models import Drifting, publish_tiny_model, random_split

from models.card import ModelCard, ModelCardError
from models.contract import GOLDEN_TOLERANCE
from training.evaluation.gate import GateError, check_golden
from training.export.calibration import Calibration
from training.export.onnx_file import PARITY_BATCHES, CalibratedClassifier, ExportError, predict_onnx
from training.metrics import measure
from training.onnx_session import open_session


def everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def interrupt(_staged):
    raise KeyboardInterrupt


@pytest.fixture(params=["a new model", "a further version"])
def out(request, tmp_path):
    """A models folder with or without a version of `tiny`."""
    if request.param == "a further version":
        (tmp_path / "tiny" / "1").mkdir(parents=True)
        (tmp_path / "tiny" / "1" / "model.onnx").write_bytes(b"published before")
    return tmp_path


@pytest.mark.parametrize(
    ("reason", "error", "message"),
    [
        ({"right_calls": 0}, ExportError, "differs from PyTorch"),
        ({"right_calls": len(PARITY_BATCHES)}, GateError, "golden images: probabilities differ by"),
        ({"min_accuracy": 1.0}, GateError, r"accuracy .*% on 20 test images is below 100.00%; nothing published"),
        ({"preparation": "x-ray"}, ModelCardError, "preparation"),
        ({"describe": interrupt}, KeyboardInterrupt, None),
    ],
    ids=["parity", "golden", "accuracy", "card", "interrupted"],
)
def test_failed_publication_leaves_nothing_behind(out, reason, error, message):
    before = everything_in(out)
    if "right_calls" in reason:
        reason = {"classifier": CalibratedClassifier(Drifting(**reason), Calibration(temperature=1.0))}
    with pytest.raises(error, match=message):
        publish_tiny_model(out, **reason)
    assert everything_in(out) == before


def test_published_version_has_model_and_golden_images(tmp_path):
    assert publish_tiny_model(tmp_path) == tmp_path / "tiny" / "1"
    assert everything_in(tmp_path) == ["tiny", "tiny/1", "tiny/1/golden.npz", "tiny/1/model.onnx"]
    assert (tmp_path / "tiny" / "1").stat().st_mode & 0o777 == 0o755


def test_golden_images_have_the_probabilities_of_pytorch(tmp_path):
    folder = publish_tiny_model(tmp_path)
    with np.load(folder / "golden.npz") as golden:
        assert sorted(golden) == ["images", "probabilities"]
        assert (golden["images"].dtype, golden["probabilities"].dtype) == (np.uint8, np.float32)
        assert np.abs(predict_onnx(folder / "model.onnx", golden["images"]) - golden["probabilities"]).max() < 1e-5


def test_check_golden_rejects_another_models_golden_images(tmp_path):
    folder, other = publish_tiny_model(tmp_path), publish_tiny_model(tmp_path, seed=1)
    (other / "golden.npz").replace(folder / "golden.npz")
    with pytest.raises(GateError, match="golden images: probabilities differ"):
        check_golden(folder / "model.onnx")


def test_golden_check_uses_the_tolerance_of_the_service(tmp_path, monkeypatch):
    monkeypatch.setitem(GOLDEN_TOLERANCE, "cpu", -1.0)
    with pytest.raises(GateError, match="golden images: probabilities differ"):
        publish_tiny_model(tmp_path)


def test_card_has_the_accuracy_of_the_file_on_the_test_split(tmp_path):
    path, test = publish_tiny_model(tmp_path) / "model.onnx", random_split()
    card = ModelCard.from_metadata(open_session(path).get_modelmeta().custom_metadata_map)
    assert card.test == measure(predict_onnx(path, test.images.numpy()), test.labels.numpy())


def test_next_version_is_the_highest_plus_one(tmp_path):
    (tmp_path / "tiny" / "9").mkdir(parents=True)
    (tmp_path / "tiny" / "draft-12").mkdir()
    assert publish_tiny_model(tmp_path).name == "10"
    before = (tmp_path / "tiny" / "10" / "model.onnx").read_bytes()
    assert publish_tiny_model(tmp_path, seed=1).name == "11"
    assert (tmp_path / "tiny" / "10" / "model.onnx").read_bytes() == before


def test_version_published_by_another_process_is_kept(tmp_path):
    def publish_the_same(_staged):
        (tmp_path / "tiny" / "1").mkdir()

    with pytest.raises(GateError, match="published versions never change"):
        publish_tiny_model(tmp_path, describe=publish_the_same)
    assert everything_in(tmp_path) == ["tiny", "tiny/1"]


def test_version_is_hidden_until_published(tmp_path):
    def look(staged):
        assert staged.path.parent == tmp_path / "tiny"
        assert staged.path.name.startswith(".")
        assert not (tmp_path / "tiny" / "1").exists()

    publish_tiny_model(tmp_path, describe=look)


def test_colour_model_is_published(tmp_path):
    path = publish_tiny_model(tmp_path, image_shape=(8, 6, 3), class_names=("ant", "bee"), preparation="photo")
    images = torch.zeros(3, 8, 6, 3, dtype=torch.uint8).numpy()
    assert predict_onnx(path / "model.onnx", images).shape == (3, 2)
