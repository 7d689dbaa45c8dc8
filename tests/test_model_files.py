"""Which files are served: found by their folders, checked, and in the precision that is faster here."""

import shutil

import numpy as np
import pytest
from exported_models import publish_tiny_model, random_split
from tiny_models import write_model

from service import model_files
from service.classifier import ModelLoadError, OnnxClassifier
from service.model_files import choose_model_files, dump_model_files, find_model_files, parse_model_files
from service.settings import Settings


@pytest.fixture
def settings(tmp_path):
    write_model(tmp_path, "a", version="9")
    write_model(tmp_path, "b")
    return Settings(models_dir=tmp_path, device="cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A version with an int8 file."""
    monkeypatch.setattr("training.gate.MAX_INT8_LOSS", 1.0)
    return publish_tiny_model(tmp_path, "small", calibration=random_split(count=64).images)


def choose(folder, **settings):
    chosen = choose_model_files(Settings(models_dir=folder.parents[1], device="cpu", **settings), threads=1)
    return chosen["small"]["1"].name


def make_faster(monkeypatch, precision):
    monkeypatch.setattr(OnnxClassifier, "timed", lambda self, images: 1.0 if self.card.precision == precision else 2.0)


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
        choose_model_files(settings, threads=1)


def test_a_preparation_that_does_not_fit_the_graph_is_refused(settings):
    write_model(settings.models_dir, "c", image_shape=(8, 8), preparation="digit")
    with pytest.raises(ModelLoadError, match="c/1"):
        choose_model_files(settings, threads=1)


@pytest.mark.parametrize(("faster", "file"), [("int8", "model.int8.onnx"), ("float32", "model.onnx")])
def test_the_faster_precision_is_served(folder, monkeypatch, faster, file):
    make_faster(monkeypatch, faster)
    assert choose(folder) == file


def test_a_precision_that_is_demanded_is_served_even_if_it_is_slower(folder, monkeypatch):
    make_faster(monkeypatch, "float32")
    assert choose(folder, precision="int8") == "model.int8.onnx"
    make_faster(monkeypatch, "int8")
    assert choose(folder, precision="float32") == "model.onnx"


def test_a_version_without_an_int8_file_is_served_in_float32_and_said_so_if_int8_was_demanded(folder, caplog):
    (folder / "model.int8.onnx").unlink()
    assert choose(folder) == "model.onnx"
    assert not caplog.text
    assert choose(folder, precision="int8") == "model.onnx"
    assert "in float32: it has no model.int8.onnx" in caplog.text


def test_an_int8_file_with_other_answers_than_its_own_is_not_served_and_said_so(folder, monkeypatch, caplog):
    make_faster(monkeypatch, "int8")
    with np.load(folder / "golden.int8.npz") as golden:
        wrong = np.roll(golden["probabilities"], 1, axis=1)
        np.savez(folder / "golden.int8.npz", images=golden["images"], probabilities=wrong)
    assert choose(folder) == "model.onnx"
    assert "golden check failed" in caplog.text
    with pytest.raises(ModelLoadError, match=r"model\.int8\.onnx: golden check failed"):
        choose(folder, precision="int8")


def test_a_file_that_is_not_of_the_precision_of_its_name_is_refused(folder):
    shutil.copy(folder / "model.onnx", folder / "model.int8.onnx")
    with pytest.raises(ModelLoadError, match="its card says float32"):
        choose(folder, precision="int8")


def test_model_files_pass_to_another_process(settings):
    files = find_model_files(settings.models_dir)
    assert parse_model_files(dump_model_files(files)) == files


def test_a_precision_is_timed_when_it_is_warm(folder, monkeypatch):
    calls = []
    classifier = OnnxClassifier(folder / "model.onnx", device="cpu", threads=1)
    monkeypatch.setattr(classifier, "run", lambda images: calls.append("run"))
    monkeypatch.setattr(classifier, "timed", lambda images: calls.append("timed") or 1.0)
    assert model_files._seconds(classifier) == 1
    assert calls[:2] == ["run", "timed"]
