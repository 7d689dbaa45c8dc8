"""Choice of file, device, threads and batch size of each version."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from support.exported_models import publish_tiny_model, random_split
from support.tiny_models import write_model

from service.inference import repository
from service.runtime import planning as plans_module
from service.runtime.model_store import load_classifier
from service.runtime.planning import PLANS, make_plan, make_plans
from service.runtime.session import ModelLoadError, OnnxClassifier
from service.settings import Settings
from training.pipeline.publishing import add_float16
from training.reporting.report import read_card


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A version with an int8 file."""
    monkeypatch.setattr("training.evaluation.gate.MAX_LOSS", 1.0)
    return publish_tiny_model(tmp_path, "small", calibration=random_split(count=64).images)


def choose(folder, **settings):
    settings = Settings(models_dir=folder.parents[1], device="cpu", **settings)
    return make_plans(settings, threads=1)["small"]["1"].path.name


def make_faster(monkeypatch, precision):
    monkeypatch.setattr(
        OnnxClassifier, "run_blank", lambda self, _count: 1.0 if self.card.precision == precision else 2.0
    )


@pytest.mark.parametrize(("faster", "file"), [("int8", "model.int8.onnx"), ("float32", "model.onnx")])
def test_the_faster_precision_is_served(folder, monkeypatch, faster, file):
    make_faster(monkeypatch, faster)
    assert choose(folder) == file


def test_requested_precision_is_served_when_slower(folder, monkeypatch):
    make_faster(monkeypatch, "float32")
    assert choose(folder, precision="int8") == "model.int8.onnx"
    make_faster(monkeypatch, "int8")
    assert choose(folder, precision="float32") == "model.onnx"


def test_missing_int8_file_falls_back_to_float32(folder, caplog):
    (folder / "model.int8.onnx").unlink()
    assert choose(folder) == "model.onnx"
    assert not caplog.text
    assert choose(folder, precision="int8") == "model.onnx"
    assert "in float32: it has no int8 file for this device" in caplog.text


def test_failed_int8_golden_check_falls_back_to_float32(folder, monkeypatch, caplog):
    make_faster(monkeypatch, "int8")
    with np.load(folder / "golden.int8.npz") as golden:
        wrong = np.roll(golden["probabilities"], 1, axis=1)
        np.savez(folder / "golden.int8.npz", images=golden["images"], probabilities=wrong)
    assert choose(folder) == "model.onnx"
    assert "golden check failed" in caplog.text
    with pytest.raises(ModelLoadError, match=r"model\.int8\.onnx: golden check failed"):
        choose(folder, precision="int8")


def test_damaged_int8_golden_file_falls_back_to_float32(folder, monkeypatch, caplog):
    make_faster(monkeypatch, "int8")
    (folder / "golden.int8.npz").write_bytes(b"")
    assert choose(folder) == "model.onnx"
    assert "cannot read" in caplog.text


@pytest.mark.parametrize(("faster", "file"), [("float16", "model.float16.onnx"), ("float32", "model.onnx")])
def test_float16_is_served_on_a_gpu_when_faster(folder, monkeypatch, faster, file):
    monkeypatch.setitem(plans_module.QUICK_PRECISION, "cpu", "float16")
    add_float16(folder, read_card(folder / "model.onnx"), random_split())
    make_faster(monkeypatch, faster)
    assert choose(folder) == file
    assert choose(folder, precision="float32") == "model.onnx"


def test_file_with_another_precision_than_its_name_is_rejected(folder):
    shutil.copy(folder / "model.onnx", folder / "model.int8.onnx")
    with pytest.raises(ModelLoadError, match="its card says float32"):
        choose(folder, precision="int8")


@pytest.mark.parametrize(
    ("batch_s", "threads", "concurrency"),
    [
        (0.0005, 1, 0),  # cheaper than waking a thread
        (0.010, 1, 3),
        (0.050, 3, 1),  # one image exceeds the longest batch
    ],
)
def test_plan_gives_each_thread_its_own_batches_by_default(tmp_path, monkeypatch, batch_s, threads, concurrency):
    monkeypatch.setattr(OnnxClassifier, "run_blank", lambda _self, _count: batch_s)
    path = write_model(tmp_path, "a") / "model.onnx"
    plan = make_plan(path, Settings(models_dir=tmp_path, device="cpu", max_batch_size=1), threads=3)
    assert (plan.threads, plan.concurrency) == (threads, concurrency)


@pytest.mark.parametrize(
    ("device", "cpu_batch_s", "planned"),
    [("auto", 0.0005, ("cpu", 0)), ("auto", 0.002, ("cuda", 0)), ("cuda", 0.0005, ("cuda", 0))],
)
def test_auto_device_uses_the_cpu_for_cheap_models(tmp_path, monkeypatch, device, cpu_batch_s, planned):
    def choose_on_gpu_machine(path, settings, *, threads):
        chosen = "cpu" if settings.device == "cpu" else "cuda"
        batch_s = cpu_batch_s if chosen == "cpu" else 0.0007
        return SimpleNamespace(path=path, device=chosen, threads=threads, run_blank=lambda _count: batch_s)

    monkeypatch.setattr(plans_module, "choose_classifier", choose_on_gpu_machine)
    plan = make_plan(tmp_path / "model.onnx", Settings(models_dir=tmp_path, device=device), threads=2)
    assert (plan.device, plan.concurrency) == planned


def test_model_is_served_on_its_planned_device(tmp_path, monkeypatch):
    write_model(tmp_path, "a")
    settings, devices = Settings(models_dir=tmp_path, device="auto"), []
    plans = make_plans(settings, threads=1)

    def load(path, settings, *, threads, gpu):
        devices.append(settings.device)
        return load_classifier(path, settings, threads=threads, gpu=gpu)

    monkeypatch.setattr(repository, "load_classifier", load)
    repository.load_repository(plans, settings).close()
    assert devices == ["cpu"]


def test_plans_survive_json(tmp_path):
    write_model(tmp_path, "a", version="9")
    write_model(tmp_path, "a", version="10")
    plans = make_plans(Settings(models_dir=tmp_path, device="cpu"), threads=2)
    assert PLANS.validate_json(PLANS.dump_json(plans)) == plans
    assert list(plans["a"]) == ["9", "10"]
