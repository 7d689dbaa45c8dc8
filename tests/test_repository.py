import pytest
from tiny_models import write_model

from service import repository as repository_module
from service.model_files import find_model_files
from service.problems import UnknownModel, UnknownVersion
from service.repository import load_model, load_repository
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


@pytest.mark.parametrize(("inline_below_s", "threads"), [(60.0, 1), (0.0, 3)])
def test_only_a_model_that_takes_long_enough_gets_several_threads(settings, monkeypatch, inline_below_s, threads):
    monkeypatch.setattr(repository_module, "INLINE_BELOW_S", inline_below_s)
    model = load_model(settings.models_dir / "b" / "1" / "model.onnx", settings, threads=3)
    assert model.classifier.threads == threads
    model.batcher.close()
