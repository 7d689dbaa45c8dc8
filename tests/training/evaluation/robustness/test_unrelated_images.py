"""Tests of the unrelated images."""

import re
import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.ft2font import FT2Font
from support.exported_models import random_split
from support.paths import DATA

from models.preparation.preparer import preparer
from training.evaluation.robustness.unrelated_images import FONTS, LETTERS, SYMBOLS, draw_pictures, unrelated_kinds
from training.recipes.zoo import ZOO

TEST = {"mnist": random_split(count=12), "cifar10": random_split(image_shape=(32, 32, 3), count=12)}
DRAWN = {
    "mnist": [
        "letters",
        "letters unlike digits",
        "symbols",
        "scribbles",
        "shapes",
        "two digits",
        "noise",
        "blank paper",
    ],
    "cifar10": ["letters", "shapes", "textures", "blurred noise", "noise", "one colour"],
}


def drawn(name, data_dir, *, count=12):
    kinds = unrelated_kinds(ZOO[name], TEST[name], data_dir)
    prepare = preparer(ZOO[name].preparation, TEST[name].images.shape[1:])
    return {
        kind: np.stack([prepare(picture) for picture in draw_pictures(kind, draw, count)])
        for kind, draw in kinds.items()
    }


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_every_kind_is_prepared_and_reproducible(tmp_path, name):
    first, second = (drawn(name, tmp_path) for _ in range(2))
    assert list(first) == DRAWN[name]
    for kind, images in first.items():
        assert (images.shape, images.dtype) == (TEST[name].images.shape, np.uint8)
        assert len(np.unique(images, axis=0)) >= 0.8 * len(images)
        assert np.array_equal(images, second[kind])
    assert list(tmp_path.iterdir()) == []  # nothing was downloaded


def test_other_data_set_is_a_kind_when_present(tmp_path):
    assert "photographs" in drawn("mnist", DATA)
    shutil.copytree(DATA / "MNIST", tmp_path / "MNIST")
    assert list(drawn("mnist", tmp_path)) == DRAWN["mnist"]
    assert list(drawn("cifar10", tmp_path)) == [*DRAWN["cifar10"], "digits"]


@pytest.mark.parametrize(("name", "folder"), [("mnist", "cifar-10-batches-py"), ("cifar10", "MNIST/raw")])
def test_unreadable_data_set_is_skipped_with_a_message(tmp_path, capsys, name, folder):
    (tmp_path / folder).mkdir(parents=True)
    assert list(drawn(name, tmp_path)) == DRAWN[name]
    assert re.match(f"unrelated images: skipped (photographs|digits): .*{folder}", capsys.readouterr().err)
    assert list((tmp_path / folder).iterdir()) == []  # nothing was downloaded


def test_count_sets_the_images_per_kind(tmp_path):
    assert {len(images) for images in drawn("mnist", tmp_path, count=3).values()} == {3}


def test_every_font_has_every_character():
    for name in FONTS:
        font = FT2Font(str(Path(mpl.get_data_path(), "fonts", "ttf", name)))
        assert {ord(character) for character in LETTERS + SYMBOLS} <= font.get_charmap().keys(), name
