"""Choice of file, device, threads and batch size of each version."""

import dataclasses
import shutil

import numpy as np
import pytest
from support.exported_models import publish_tiny_model, random_split
from support.tiny_models import write_model

from service.inference.repository import load_model
from service.runtime.hardware import count_gpus
from service.runtime.model_store import load_classifier
from service.runtime.planning import PLANS, make_plan, make_plans
from service.runtime.session import DeviceError, ModelLoadError, OnnxClassifier
from service.settings import Settings
from training.pipeline.publishing import add_float16
from training.reporting.report import read_card


@pytest.fixture
def folder(tmp_path):
    """A version with an int8 file."""
    return publish_tiny_model(tmp_path, "small", calibration=random_split(count=64).images)


def choose(folder, load=load_classifier, *, device="cpu", **settings):
    settings = Settings(models_dir=folder.parents[1], device=device, **settings)
    return make_plans(settings, threads=1, load=load)["small"]["1"].path.name


def loader(seconds, *, gpu=False):
    """Return a load function for models whose batches take ``seconds(model)``, on a machine with or without a GPU."""

    class Timed(OnnxClassifier):
        def run_blank(self, _count):
            return seconds(self)

    def load(path, settings, *, threads):
        classifier = Timed(path, device="cpu", threads=threads)
        classifier.device = "cuda" if gpu and settings.device != "cpu" else "cpu"
        return classifier

    return load


def faster(precision, *, gpu=False):
    return loader(lambda model: 1.0 if model.card.precision == precision else 2.0, gpu=gpu)


@pytest.mark.parametrize(("precision", "file"), [("int8", "model.int8.onnx"), ("float32", "model.onnx")])
def test_the_faster_precision_is_served(folder, precision, file):
    assert choose(folder, faster(precision)) == file


def test_requested_precision_is_served_when_slower(folder):
    assert choose(folder, faster("float32"), precision="int8") == "model.int8.onnx"
    assert choose(folder, faster("int8"), precision="float32") == "model.onnx"


def test_missing_int8_file_falls_back_to_float32(folder, caplog):
    (folder / "model.int8.onnx").unlink()
    assert choose(folder) == "model.onnx"
    assert not caplog.text
    assert choose(folder, precision="int8") == "model.onnx"
    assert "in float32: it has no int8 file for this device" in caplog.text


def test_failed_int8_golden_check_falls_back_to_float32(folder, caplog):
    with np.load(folder / "golden.int8.npz") as golden:
        wrong = np.roll(golden["probabilities"], 1, axis=1)
        np.savez(folder / "golden.int8.npz", images=golden["images"], probabilities=wrong)
    assert choose(folder, faster("int8")) == "model.onnx"
    assert "golden check failed" in caplog.text
    with pytest.raises(ModelLoadError, match=r"model\.int8\.onnx: golden check failed"):
        choose(folder, precision="int8")


def test_damaged_int8_golden_file_falls_back_to_float32(folder, caplog):
    (folder / "golden.int8.npz").write_bytes(b"")
    assert choose(folder, faster("int8")) == "model.onnx"
    assert "cannot read" in caplog.text


@pytest.mark.parametrize(("precision", "file"), [("float16", "model.float16.onnx"), ("float32", "model.onnx")])
def test_float16_is_served_on_a_gpu_when_faster(folder, precision, file):
    add_float16(folder, read_card(folder / "model.onnx"), random_split(), max_accuracy_loss=1.0)
    load = faster(precision, gpu=True)
    assert choose(folder, load, device="cuda") == file
    assert choose(folder, load, device="cuda", precision="float32") == "model.onnx"


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
def test_plan_gives_each_thread_its_own_batches_by_default(tmp_path, batch_s, threads, concurrency):
    path = write_model(tmp_path, "a") / "model.onnx"
    settings = Settings(models_dir=tmp_path, device="cpu", max_batch_size=1)
    plan = make_plan(path, settings, threads=3, load=loader(lambda _model: batch_s))
    assert (plan.threads, plan.concurrency) == (threads, concurrency)


@pytest.mark.parametrize(
    ("device", "cpu_batch_s", "planned"),
    [("auto", 0.0005, ("cpu", 0)), ("auto", 0.002, ("cuda", 0)), ("cuda", 0.0005, ("cuda", 0))],
)
def test_auto_device_uses_the_cpu_for_cheap_models(tmp_path, device, cpu_batch_s, planned):
    path = write_model(tmp_path, "a") / "model.onnx"
    load = loader(lambda model: cpu_batch_s if model.device == "cpu" else 0.0007, gpu=True)
    plan = make_plan(path, Settings(models_dir=tmp_path, device=device), threads=2, load=load)
    assert (plan.device, plan.concurrency) == planned


@pytest.mark.skipif(count_gpus() > 0, reason="needs a machine without a GPU")
def test_model_is_served_on_its_planned_device(tmp_path):
    path = write_model(tmp_path, "a") / "model.onnx"
    settings = Settings(models_dir=tmp_path, device="auto")
    plan = make_plan(path, settings, threads=1)
    assert plan.device == "cpu"
    with pytest.raises(DeviceError):
        load_model(dataclasses.replace(plan, device="cuda"), settings)


def test_plans_survive_json(tmp_path):
    write_model(tmp_path, "a", version="9")
    write_model(tmp_path, "a", version="10")
    plans = make_plans(Settings(models_dir=tmp_path, device="cpu"), threads=2)
    assert PLANS.validate_json(PLANS.dump_json(plans)) == plans
    assert list(plans["a"]) == ["9", "10"]
