"""Batches in preallocated memory, tested on the CPU."""

import ctypes

import numpy as np
import onnxruntime as ort
import pytest
from support.tiny_models import write_model

from service.runtime import cuda_binding
from service.runtime import session as session_module
from service.runtime.cuda_binding import BoundBatch, page_locked
from service.runtime.session import DeviceError, OnnxClassifier


def noise(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


@pytest.fixture
def session(tmp_path):
    path = write_model(tmp_path, "one") / "model.onnx"
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_outputs_equal_those_of_the_session_in_requested_order(session):
    names = ["logits", "probabilities"]
    batch = BoundBatch(session, 8, outputs=names, device="cpu")
    for count in (8, 3, 1, 5):  # a smaller batch shares the buffer with old images
        images = noise(count, seed=count)
        found = batch.run(images)
        for output, expected in zip(found, session.run(names, {"images": images}), strict=True):
            np.testing.assert_allclose(output, expected, atol=1e-5)


def test_gpu_classifier_has_one_session_per_warmed_up_size(tmp_path, monkeypatch):
    made, sessions = [], set()

    def on_the_cpu(session, size, *, outputs, device, gpu):
        made.append((size, device, gpu))
        sessions.add(session)
        return BoundBatch(session, size, outputs=outputs, device="cpu")

    monkeypatch.setattr(session_module, "BoundBatch", on_the_cpu)
    path = write_model(tmp_path, "one") / "model.onnx"
    cpu, gpu = (OnnxClassifier(path, device="cpu", threads=1, gpu=3) for _ in range(2))
    gpu.device, open_on_cpu = "cuda", gpu._open
    monkeypatch.setattr(gpu, "_open", lambda threads: (open_on_cpu(threads)[0], "cuda"))
    gpu.warm_up(6)
    assert made == [(1, "cuda", 3), (2, "cuda", 3), (4, "cuda", 3), (8, "cuda", 3)]
    for count in range(1, 9):
        np.testing.assert_allclose(gpu.predict(noise(count)), cpu.predict(noise(count)), atol=1e-5)
    assert len(made) == len(sessions) == 4


def test_device_error_is_raised_when_gpu_memory_is_exhausted(tmp_path):
    gpu = OnnxClassifier(write_model(tmp_path, "one") / "model.onnx", device="cpu", threads=1)
    gpu.device, gpu._bound = "cuda", {1: None}
    with pytest.raises(DeviceError, match="not enough GPU memory for another batch size"):
        gpu.predict(noise(2))


def test_memory_is_ordinary_with_a_warning_when_cuda_is_missing(monkeypatch, caplog):
    monkeypatch.setattr(cuda_binding.build_and_package_info, "cuda_version", "0.0")
    assert (page_locked((3, 4)) == np.zeros((3, 4), np.uint8)).all()
    assert "not in page-locked memory" in caplog.text


class Runtime:
    """Fake CUDA runtime whose allocation returns ``code``; 0 is success."""

    def __init__(self, code):
        self.code, self.allocated, self.freed = code, [], []

    def cudaHostAlloc(self, pointer, count, _flags):  # noqa: N802  # CUDA's names
        memory = (ctypes.c_uint8 * count.value)(*([255] * count.value))
        self.allocated.append(memory)
        pointer._obj.value = ctypes.addressof(memory)
        return self.code

    def cudaFreeHost(self, address):  # noqa: N802
        self.freed.append(address.value)


def test_page_locked_memory_is_freed_with_its_last_view(monkeypatch):
    runtime = Runtime(code=0)
    monkeypatch.setattr(cuda_binding.ctypes, "CDLL", lambda name: runtime)
    images = page_locked((3, 4))
    assert images.ctypes.data == ctypes.addressof(runtime.allocated[0])
    assert not images.any()
    last = images[2]
    del images
    assert runtime.freed == []
    del last
    assert runtime.freed == [ctypes.addressof(runtime.allocated[0])]


def test_memory_is_ordinary_when_cuda_refuses_to_allocate(monkeypatch, caplog):
    monkeypatch.setattr(cuda_binding.ctypes, "CDLL", lambda name: Runtime(code=2))
    assert not page_locked((3, 4)).any()
    assert "2" in caplog.text
