"""Discovery and checks of model files."""

import shutil

import pytest
from support.tiny_models import write_model

from service.runtime.model_store import find_model_files, load_classifier
from service.runtime.session import ModelLoadError
from service.settings import Settings


@pytest.fixture
def settings(tmp_path):
    write_model(tmp_path, "a", version="9")
    write_model(tmp_path, "b")
    return Settings(models_dir=tmp_path, device="cpu")


def test_only_folders_named_by_digits_are_versions(tmp_path):
    write_model(tmp_path, "a")
    for unfinished in (".2.tmp", "v3", "latest"):
        shutil.copytree(tmp_path / "a" / "1", tmp_path / "a" / unfinished)
    shutil.copytree(tmp_path / "a", tmp_path / ".a.tmp")
    assert {name: list(versions) for name, versions in find_model_files(tmp_path).items()} == {"a": ["1"]}


def test_folder_without_models_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(ModelLoadError, match="CLASSIFIER_MODELS_DIR"):
        find_model_files(tmp_path)


def test_model_in_the_wrong_folder_is_rejected(settings):
    (settings.models_dir / "b" / "1").rename(settings.models_dir / "b" / "2")
    with pytest.raises(ModelLoadError, match="card says b/1, expected b/2 as in the path"):
        load_classifier(settings.models_dir / "b" / "2" / "model.onnx", settings, threads=1)


def test_preparation_that_does_not_fit_the_graph_is_rejected(settings):
    write_model(settings.models_dir, "c", image_shape=(8, 8), preparation="digit")
    with pytest.raises(ModelLoadError, match="c/1"):
        load_classifier(settings.models_dir / "c" / "1" / "model.onnx", settings, threads=1)
