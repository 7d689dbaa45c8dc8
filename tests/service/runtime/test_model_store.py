"""Discovery and checks of model files."""

import shutil

import onnx
import pytest
from support.foreign_models import Foreign
from support.tiny_models import write_model

from service.runtime.model_store import find_model_files, load_classifier
from service.runtime.planning import make_plans
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


@pytest.fixture
def foreign(tmp_path):
    """A file of another project in the folder of a version."""
    (tmp_path / "net" / "1").mkdir(parents=True)
    return Foreign().save(tmp_path / "net" / "1" / "model.onnx")


def test_foreign_and_misplaced_files_do_not_stop_the_others(settings, foreign, caplog):
    folder = settings.models_dir
    shutil.copy(foreign, folder / "resnet.onnx")
    for misplaced in ("net", "a/latest", "a/9", "a/.10-hidden"):
        (folder / misplaced).mkdir(exist_ok=True)
        shutil.copy(foreign, folder / misplaced / "mine.onnx")
    plans = make_plans(settings, threads=1)
    assert {name: list(versions) for name, versions in plans.items()} == {"a": ["9"], "b": ["1"]}
    (record,) = caplog.records
    listed = "not served: a/9/mine.onnx, a/latest/mine.onnx, net/mine.onnx, resnet.onnx, net/1/model.onnx: expected "
    assert record.getMessage().startswith(listed)
    assert "`python -m training adopt FILE.onnx --name NAME`" in record.getMessage()


@pytest.mark.parametrize("content", [b"", b"no ONNX file", None])
def test_foreign_file_that_cannot_be_loaded_is_left_out(settings, foreign, caplog, content):
    foreign.write_bytes(foreign.read_bytes()[:-200] if content is None else content)
    assert "net" not in make_plans(settings, threads=1)
    assert "net/1/model.onnx" in caplog.text


def test_published_file_that_cannot_be_loaded_stops_the_service(settings):
    path = settings.models_dir / "b" / "1" / "model.onnx"
    path.write_bytes(path.read_bytes() + b"damaged")
    with pytest.raises(ModelLoadError, match="cannot load"):
        make_plans(settings, threads=1)


def test_folder_with_foreign_files_alone_is_an_error(tmp_path, foreign):
    with pytest.raises(ModelLoadError, match=r"nothing to serve in .*: net/1/model.onnx: .*training adopt"):
        make_plans(Settings(models_dir=tmp_path, device="cpu"), threads=1)
    with pytest.raises(ModelLoadError, match=r"model.onnx: the file has no model_card .*training adopt"):
        load_classifier(foreign, Settings(device="cpu"), threads=1)


def test_file_with_a_damaged_card_stops_the_service(settings, foreign):
    model = onnx.load(foreign)
    onnx.helper.set_model_props(model, {"model_card": "{}"})
    onnx.save(model, foreign)
    with pytest.raises(ModelLoadError, match="card has no 'class_names'"):
        make_plans(settings, threads=1)
