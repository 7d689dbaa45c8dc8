"""Fixtures of the command line: a model in this process and a folder of images."""

import shutil
from contextlib import closing

import pytest
from support.paths import IMAGES

from service.cli.local_model import LocalModel
from service.settings import Settings


@pytest.fixture(scope="package")
def mnist():
    with closing(LocalModel(Settings(device="cpu", precision="float32"), "mnist")) as model:
        yield model


@pytest.fixture
def folder(tmp_path):
    """Ten digits in two folders, a damaged file and a text file."""
    (tmp_path / "images" / "more").mkdir(parents=True)
    for digit in range(10):
        name = f"{'more/' if digit % 2 else ''}{digit}.PNG"
        shutil.copy(IMAGES / f"mnist-{digit}.png", tmp_path / "images" / name)
    (tmp_path / "images" / "broken.png").write_bytes((IMAGES / "mnist-7.png").read_bytes()[:200])
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"
