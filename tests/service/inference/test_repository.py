import pytest
from support.tiny_models import write_model

from service.inference.repository import load_model, load_repository
from service.problems import UnknownModel, UnknownVersion
from service.runtime.planning import ServingPlan, make_plans
from service.settings import Settings


@pytest.fixture
def settings(tmp_path):
    write_model(tmp_path, "a", version="9")
    write_model(tmp_path, "a", version="10")
    write_model(tmp_path, "b")
    return Settings(models_dir=tmp_path, device="cpu")


@pytest.fixture
def repository(settings):
    repository = load_repository(settings, make_plans(settings, threads=1))
    yield repository
    repository.close()


def test_request_without_a_version_gets_the_highest(repository):
    assert repository.find("a").card.version == "10"
    assert repository.find("a", "9").card.version == "9"


def test_unknown_name_error_lists_the_existing_names(repository):
    with pytest.raises(UnknownModel, match="'c', expected one of: a, b"):
        repository.find("c")
    with pytest.raises(UnknownVersion, match="'1' of a, expected one of: 9, 10"):
        repository.find("a", "1")


@pytest.mark.parametrize(("threads", "concurrency"), [(1, 0), (1, 3), (2, 1)])
def test_version_is_served_as_planned(settings, threads, concurrency):
    path = settings.models_dir / "b" / "1" / "model.onnx"
    plan = ServingPlan(path=path, device="cpu", threads=threads, concurrency=concurrency, max_batch_size=5, batch_s=0.5)
    model = load_model(plan, settings)
    assert (model.classifier.threads, model.batcher.max_batch_size) == (threads, 5)
    model.batcher.close()
