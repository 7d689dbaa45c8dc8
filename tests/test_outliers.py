"""Pictures of what a model was not trained for."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from exported_models import random_split

from training import outliers as module
from training.outliers import outliers
from training.zoo import ZOO

DATA = Path(__file__).parent / "data"
TEST = {"mnist": random_split(count=12), "cifar10": random_split(image_shape=(32, 32, 3), count=12)}
DRAWN = {
    "mnist": ["letters", "symbols", "scribbles", "shapes", "two digits", "noise"],
    "cifar10": ["letters", "shapes", "textures", "blurred noise", "noise"],
}


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_every_kind_comes_as_the_model_takes_it_and_the_same_each_time(tmp_path, name):
    first, second = (outliers(ZOO[name], TEST[name], tmp_path) for _ in range(2))
    assert list(first) == DRAWN[name]
    for kind, images in first.items():
        assert (images.shape, images.dtype) == (TEST[name].images.shape, np.uint8)
        assert len(np.unique(images, axis=0)) == len(images)
        assert np.array_equal(images, second[kind])
    assert list(tmp_path.iterdir()) == []  # nothing was downloaded


def test_the_other_data_set_is_a_kind_where_it_lies_there(tmp_path):
    assert "photographs" in outliers(ZOO["mnist"], TEST["mnist"], DATA)
    shutil.copytree(DATA / "MNIST", tmp_path / "MNIST")
    assert list(outliers(ZOO["mnist"], TEST["mnist"], tmp_path)) == DRAWN["mnist"]
    assert list(outliers(ZOO["cifar10"], TEST["cifar10"], tmp_path)) == [*DRAWN["cifar10"], "digits"]


def test_there_are_no_more_than_a_thousand(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "COUNT", 3)
    assert {len(images) for images in outliers(ZOO["mnist"], TEST["mnist"], tmp_path).values()} == {3}


def test_every_font_is_there_and_has_every_character(monkeypatch):
    random = np.random.default_rng(0)
    for font in module.FONTS:
        monkeypatch.setattr(module, "FONTS", [font])
        drawn = [np.asarray(module._character(character, random)) for character in module.LETTERS + module.SYMBOLS]
        assert min(picture.max() for picture in drawn) == 255
