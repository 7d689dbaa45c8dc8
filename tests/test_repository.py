import pytest
from tiny_models import write_model

from service.model_files import find_model_files
from service.problems import UnknownModel, UnknownVersion
from service.repository import load_repository
from service.settings import Settings


@pytest.fixture
def settings(tmp_path):
    write_model(tmp_path, "a", version="9")
    write_model(tmp_path, "a", version="10")
    write_model(tmp_path, "b")
    return Settings(models_dir=tmp_path, device="cpu")


@pytest.fixture
def repository(settings):
    repository = load_repository(find_model_files(settings.models_dir), settings, threads=1)
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
