import shutil

import pytest
from tiny_models import write_model

from service.classifier import ModelLoadError
from service.problems import UnknownModel, UnknownVersion
from service.repository import check_model_files, find_model_files, load_repository
from service.settings import Settings


@pytest.fixture
def settings(tmp_path):
    write_model(tmp_path, "a", version="9")
    write_model(tmp_path, "a", version="10")
    write_model(tmp_path, "b")
    return Settings(models_dir=tmp_path, device="cpu")


@pytest.fixture
def repository(settings):
    repository = load_repository(settings, threads=1)
    yield repository
    repository.close()


def test_an_unversioned_request_gets_the_highest_number(repository):
    assert repository.find("a").card.version == "10"
    assert repository.find("a", "9").card.version == "9"


def test_an_unknown_name_is_answered_with_those_that_exist(repository):
    with pytest.raises(UnknownModel, match="'c', expected one of: a, b"):
        repository.find("c")
    with pytest.raises(UnknownVersion, match="'1' of a, expected one of: 9, 10"):
        repository.find("a", "1")


def test_only_folders_of_digits_are_versions(tmp_path):
    write_model(tmp_path, "a")
    for unfinished in (".2.tmp", "v3", "latest"):
        shutil.copytree(tmp_path / "a" / "1", tmp_path / "a" / unfinished)
    shutil.copytree(tmp_path / "a", tmp_path / ".a.tmp")
    assert {name: list(versions) for name, versions in find_model_files(tmp_path).items()} == {"a": ["1"]}


def test_a_folder_without_models_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(ModelLoadError, match="CLASSIFIER_MODELS_DIR"):
        find_model_files(tmp_path)


def test_a_model_in_the_wrong_folder_is_refused(settings):
    (settings.models_dir / "b" / "1").rename(settings.models_dir / "b" / "2")
    with pytest.raises(ModelLoadError, match="card says b/1, its folder b/2"):
        check_model_files(settings)


def test_a_preparation_that_does_not_fit_the_graph_is_refused(settings):
    write_model(settings.models_dir, "c", image_shape=(8, 8), preparation="digit")
    with pytest.raises(ModelLoadError, match="c/1"):
        check_model_files(settings)
