import pytest
from support.tiny_models import write_model

from service.runtime.planning import measure_batch, time_batch
from service.runtime.session import OnnxClassifier


@pytest.fixture
def classifier(tmp_path):
    return OnnxClassifier(write_model(tmp_path, "one") / "model.onnx", device="cpu", threads=1)


@pytest.mark.parametrize(("seconds_per_image", "size"), [(1e-6, 64), (0.001, 20), (0.5, 1)])
def test_a_batch_on_the_cpu_takes_no_longer_than_its_bound(classifier, monkeypatch, seconds_per_image, size):
    monkeypatch.setattr(classifier, "run_blank", lambda count: count * seconds_per_image)
    assert measure_batch(classifier, 64) == (size, pytest.approx(size * seconds_per_image))


def test_a_batch_on_a_gpu_is_as_large_as_the_settings_say_whatever_it_takes(classifier, monkeypatch):
    monkeypatch.setattr(classifier, "device", "cuda")
    monkeypatch.setattr(classifier, "run_blank", lambda count: count * 1.0)
    assert measure_batch(classifier, 64) == (64, 64.0)


def test_on_a_gpu_the_first_run_of_a_size_is_not_timed(classifier, monkeypatch):
    took = iter([0.05, 0.0006, *[0.0005] * 50])
    monkeypatch.setattr(classifier, "device", "cuda")
    monkeypatch.setattr(classifier, "run_blank", lambda count: next(took))
    assert time_batch(classifier, 64) == 0.0005


def test_the_largest_batch_is_timed_itself(classifier, monkeypatch):
    monkeypatch.setattr(classifier, "run_blank", lambda count: 1e-4 + count * 1e-6)  # waking threads costs most of it
    assert measure_batch(classifier, 64) == (64, pytest.approx(1.64e-4))


def test_a_batch_is_no_larger_than_the_settings_say(classifier):
    assert measure_batch(classifier, 3)[0] == 3
