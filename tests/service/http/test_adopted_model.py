"""An adopted model behind the HTTP API and the command line: not measured, not calibrated, without familiarity."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from support.foreign_models import CLASSES, MEAN, STD, Foreign, probabilities_of
from support.service import encode
from torchvision.transforms import v2

from service.__main__ import main as service_main
from training.adoption.adopting import adopt, examine
from training.adoption.facts import AdoptionOptions

PICTURE = np.asarray(Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)).resize((320, 200)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adopted")
    (folder / "labels.txt").write_text("\n".join(CLASSES))
    options = AdoptionOptions(
        name="net",
        labels=folder / "labels.txt",
        preparation="center-crop",
        side=40,
        interpolation="bilinear",
        scale=1,
        mean=MEAN,
        std=STD,
    )
    adopt(examine(Foreign().save(folder / "net.onnx"), options), out=folder / "models")
    return folder


@pytest.fixture
def adopted(start, folder):
    return start(models_dir=folder / "models")


def test_list_says_what_was_not_measured(adopted):
    (summary,) = adopted.get("/v1/models").json()["models"]
    assert (summary["accuracy"], summary["calibrated"], summary["familiarity"]) == (None, False, False)


def test_card_states_source_and_preparation(adopted):
    card = adopted.get("/v1/models/net").json()
    assert (card["test"], card["temperature"], card["seed"]) == (None, None, None)
    assert card["adopted"]["file"] == "net.onnx"
    assert (card["preparation"], card["resize"]) == ("center-crop", {"side": 40, "interpolation": "bilinear"})
    assert list(card["outputs"]) == ["probabilities"]


def test_classify_gives_the_probabilities_of_the_source(adopted, folder):
    normalize = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    transform = v2.Compose([v2.Resize(40, antialias=True), v2.CenterCrop(32), *normalize])
    jpeg = encode(PICTURE, "JPEG")
    for content in (encode(PICTURE), jpeg):
        (expected,) = probabilities_of(folder / "net.onnx", [transform(Image.open(io.BytesIO(content))).numpy()])
        body = adopted.post("/v1/models/net/classify", content=content).json()
        assert tuple(body["probabilities"]) == CLASSES
        np.testing.assert_allclose(list(body["probabilities"].values()), expected, atol=1e-4, rtol=0)
        assert "familiarity" not in body


def test_command_line_classifies_with_the_same_pixels(adopted, folder, capsys, monkeypatch):
    (folder / "picture.png").write_bytes(encode(PICTURE))
    monkeypatch.setenv("CLASSIFIER_MODELS_DIR", str(folder / "models"))
    assert service_main(["classify", str(folder / "picture.png"), "--model", "net", "--json"]) == 0
    served = adopted.post("/v1/models/net/classify", content=encode(PICTURE)).json()
    found = json.loads(capsys.readouterr().out)
    assert found["label"] == served["label"]
    assert found["probabilities"] == pytest.approx(served["probabilities"], abs=1e-4)
