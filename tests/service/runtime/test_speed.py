import pytest
from support.tiny_models import write_model

from service.runtime.planning import measure_batch, time_batch
from service.runtime.session import OnnxClassifier


@pytest.fixture
def classifier(tmp_path):
    return OnnxClassifier(write_model(tmp_path, "one") / "model.onnx", device="cpu", threads=1)


@pytest.mark.parametrize(("seconds_per_image", "size"), [(1e-6, 64), (0.001, 20), (0.5, 1)])
def test_batch_size_on_the_cpu_is_limited_by_time(classifier, monkeypatch, seconds_per_image, size):
    monkeypatch.setattr(classifier, "run_blank", lambda count: count * seconds_per_image)
    assert measure_batch(classifier, 64) == (size, pytest.approx(size * seconds_per_image))


def test_batch_size_on_a_gpu_is_not_limited_by_time(classifier, monkeypatch):
    monkeypatch.setattr(classifier, "device", "cuda")
    monkeypatch.setattr(classifier, "run_blank", lambda count: count * 1.0)
    assert measure_batch(classifier, 64) == (64, 64.0)


def test_first_run_of_a_size_on_a_gpu_is_not_timed(classifier, monkeypatch):
    durations = iter([0.05, 0.0006, *[0.0005] * 50])
    monkeypatch.setattr(classifier, "device", "cuda")
    monkeypatch.setattr(classifier, "run_blank", lambda count: next(durations))
    assert time_batch(classifier, 64) == 0.0005


def test_largest_batch_is_timed_directly(classifier, monkeypatch):
    monkeypatch.setattr(classifier, "run_blank", lambda count: 1e-4 + count * 1e-6)  # mostly the cost of waking threads
    assert measure_batch(classifier, 64) == (64, pytest.approx(1.64e-4))


def test_batch_size_does_not_exceed_the_setting(classifier):
    assert measure_batch(classifier, 3)[0] == 3
