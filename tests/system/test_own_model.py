"""Tests of docs/how-to/own-model.md and of the image folder loader."""

import re
import shlex
import subprocess
import sys

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw
from support.foreign_models import CLASSES as FOREIGN_CLASSES
from support.foreign_models import Foreign
from support.paths import ROOT
from support.served import serve

from training.__main__ import main
from training.data.datasets import DataError
from training.data.image_folder import load_image_folder

CLASSES = ("circle", "square", "triangle")
SIDES = {"square": 4, "triangle": 3}


def draw(name, random):
    """Draw a shape of random colour, size and position on another colour."""
    width, height = (int(side) for side in random.integers(60, 140, 2))
    light, dark = (tuple(int(level) for level in random.integers(low, low + 80, 3)) for low in (150, 0))
    picture = Image.new("RGB", (width, height), light)
    size = random.uniform(0.3, 0.45) * min(width, height)
    middle = (width / 2 + random.uniform(-4, 4), height / 2 + random.uniform(-4, 4))
    if name == "circle":
        ImageDraw.Draw(picture).circle(middle, size, fill=dark)
    else:
        ImageDraw.Draw(picture).regular_polygon((*middle, size), SIDES[name], int(random.integers(0, 30)), fill=dark)
    return picture


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("data") / "shapes", np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(60):
            draw(name, random).save(folder / name / f"{number}.{'jpg' if number % 2 else 'png'}")
    return folder


def test_own_model_guide_adopts_and_serves_a_file(tmp_path, monkeypatch, capsys):
    guide = (ROOT / "docs" / "how-to" / "own-model.md").read_text()
    (command,) = re.findall(r"```sh adopt\n(.*?)```", guide, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Foreign().save(tmp_path / "resnet18.onnx")
    (tmp_path / "imagenet.txt").write_text("\n".join(FOREIGN_CLASSES))
    arguments = shlex.split(command.replace("\\\n", ""))
    assert arguments[:6] == ["uv", "run", "--group", "train", "python", "-m"]
    assert main([*arguments[7:], "--out", "models"]) == 0
    assert "mean: 0.485 0.456 0.406 (--mean)" in capsys.readouterr().out
    (tmp_path / "models" / "mine.onnx").write_bytes((tmp_path / "resnet18.onnx").read_bytes())
    picture = (ROOT / "tests" / "images" / "photo-ship.jpg").read_bytes()
    with serve(models_dir=tmp_path / "models") as served, httpx.Client(base_url=served.url) as client:
        (summary,) = client.get("/v1/models").json()["models"]
        response = client.post("/v1/models/resnet18/classify?top=2", content=picture)
    assert (summary["accuracy"], summary["calibrated"], summary["familiarity"]) == (None, False, False)
    assert len(response.json()["probabilities"]) == 2


def test_own_model_guide_trains_and_serves_a_model(pictures, tmp_path):
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "own-model.md").read_text(), re.DOTALL)
    (tmp_path / "shapes.py").write_text(script)
    places = ["--data-dir", pictures.parent, "--out", tmp_path / "models", "--checkpoint-dir", tmp_path / "checkpoints"]
    done = subprocess.run(
        [sys.executable, tmp_path / "shapes.py", "retrain", "shapes", *places],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"published .*shapes/1: accuracy (9|100)", done.stdout)
    card = (tmp_path / "models" / "shapes" / "1" / "README.md").read_text()
    assert "| triangle | " in card
    with serve(models_dir=tmp_path / "models") as served, httpx.Client(base_url=served.url) as client:
        shape = client.get("/v2/models/shapes").json()["inputs"][0]["shape"]
        response = client.post("/v1/models/shapes/classify", content=(pictures / "triangle" / "1.jpg").read_bytes())
    assert shape == [-1, 48, 48, 3]
    assert response.json()["label"] == "triangle"


def load(folder, class_names=CLASSES):
    return load_image_folder(folder, class_names=class_names, side=16)


def test_splits_are_disjoint_and_reproducible(pictures):
    first, second = load(pictures), load(pictures)
    assert [len(split) for split in (first.train, first.val, first.test)] == [137, 7, 36]
    assert first.train.images.shape[1:] == (16, 16, 3)
    assert (first.test.images == second.test.images).all()
    assert first.md5s == second.md5s
    every = np.concatenate([split.images.numpy() for split in (first.train, first.val, first.test)])
    assert len(np.unique(every, axis=0)) == 180


def test_invalid_folder_is_reported(pictures, tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has the classes circle, square, triangle, expected circle, square"):
        load(pictures, CLASSES[:2])
    for name in CLASSES:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="expected a folder for each of circle"):
        load(tmp_path)
    for name in CLASSES:
        (tmp_path / name / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DataError, match=r"broken.png: .*; repair or remove it"):
        load(tmp_path)
