"""Batches in preallocated memory, tested on the CPU."""

import ctypes

import numpy as np
import onnxruntime as ort
import pytest
from support.tiny_models import write_model

from service.runtime.cuda_binding import BatchSessions, BoundBatch, batch_bucket, page_locked


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


def test_each_batch_size_has_its_own_session(session, tmp_path):
    opened = [session]

    def open_another():
        opened.append(ort.InferenceSession(tmp_path / "one" / "1" / "model.onnx", providers=["CPUExecutionProvider"]))
        return opened[-1]

    batches = BatchSessions(session, open_another, outputs=["probabilities"], device="cpu")
    for _ in range(2):
        for count in range(1, 9):
            images = noise(count)
            (expected,) = session.run(["probabilities"], {"images": images})
            np.testing.assert_allclose(batches.run(images)[0], expected, atol=1e-5)
    assert len(opened) == 4  # 1, 2, 4 and 8 images


def test_batch_buckets_are_powers_of_two():
    assert [batch_bucket(count) for count in (1, 2, 3, 4, 5, 64, 65)] == [1, 2, 4, 4, 8, 64, 128]


def test_memory_is_ordinary_with_a_warning_without_cuda(caplog):
    def load_library(name):
        raise OSError(f"{name}: cannot open shared object file")

    assert (page_locked((3, 4), load_library=load_library) == np.zeros((3, 4), np.uint8)).all()
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


def test_page_locked_memory_is_freed_with_its_last_view():
    runtime = Runtime(code=0)
    images = page_locked((3, 4), load_library=lambda _name: runtime)
    assert images.ctypes.data == ctypes.addressof(runtime.allocated[0])
    assert not images.any()
    last = images[2]
    del images
    assert runtime.freed == []
    del last
    assert runtime.freed == [ctypes.addressof(runtime.allocated[0])]


def test_memory_is_ordinary_when_cuda_refuses_to_allocate(caplog):
    assert not page_locked((3, 4), load_library=lambda _name: Runtime(code=2)).any()
    assert "2" in caplog.text
