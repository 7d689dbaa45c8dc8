"""Batches whose memory is allocated once: the same answers, here on the CPU, where nothing is gained."""

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


def test_its_outputs_are_those_of_the_session_in_the_order_that_was_asked_for(session):
    names = ["logits", "probabilities"]
    batch = BoundBatch(session, 8, outputs=names, device="cpu")
    for count in (8, 3, 1, 5):  # of a smaller batch, images of an earlier one are left beside its own
        images = noise(count, seed=count)
        found = batch.run(images)
        for output, expected in zip(found, session.run(names, {"images": images}), strict=True):
            np.testing.assert_allclose(output, expected, atol=1e-5)


def test_on_a_gpu_a_classifier_runs_batches_of_warmed_up_sizes_alone_each_in_its_own_session(tmp_path, monkeypatch):
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


def test_a_size_for_which_the_gpu_has_no_room_is_refused_instead_of_run_on_the_cpu(tmp_path):
    gpu = OnnxClassifier(write_model(tmp_path, "one") / "model.onnx", device="cpu", threads=1)
    gpu.device, gpu._bound = "cuda", {1: None}
    with pytest.raises(DeviceError, match="a batch size found no room on the GPU"):
        gpu.predict(noise(2))


def test_without_cuda_the_memory_is_ordinary_and_that_is_said(monkeypatch, caplog):
    monkeypatch.setattr(cuda_binding.build_and_package_info, "cuda_version", "0.0")
    assert (page_locked((3, 4)) == np.zeros((3, 4), np.uint8)).all()
    assert "not in page-locked memory" in caplog.text


class Runtime:
    """Stands in for CUDA's runtime: hands out memory, and gives none if it is told so."""

    def __init__(self, code):
        self.code, self.given, self.freed = code, [], []

    def cudaHostAlloc(self, pointer, count, _flags):  # noqa: N802  # CUDA's names
        memory = (ctypes.c_uint8 * count.value)(*([255] * count.value))
        self.given.append(memory)
        pointer._obj.value = ctypes.addressof(memory)
        return self.code

    def cudaFreeHost(self, address):  # noqa: N802
        self.freed.append(address.value)


def test_page_locked_memory_is_cudas_and_given_back_with_its_last_image(monkeypatch):
    runtime = Runtime(code=0)
    monkeypatch.setattr(cuda_binding.ctypes, "CDLL", lambda name: runtime)
    images = page_locked((3, 4))
    assert images.ctypes.data == ctypes.addressof(runtime.given[0])
    assert not images.any()
    last = images[2]
    del images
    assert runtime.freed == []
    del last
    assert runtime.freed == [ctypes.addressof(runtime.given[0])]


def test_memory_that_cuda_refuses_is_ordinary(monkeypatch, caplog):
    monkeypatch.setattr(cuda_binding.ctypes, "CDLL", lambda name: Runtime(code=2))
    assert not page_locked((3, 4)).any()
    assert "2" in caplog.text
