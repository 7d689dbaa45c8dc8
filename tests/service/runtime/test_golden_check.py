"""Comparison with the stored probabilities of the golden images."""

import numpy as np
import pytest
from support.tiny_models import write_model

from service.runtime.golden_check import check_golden
from service.runtime.session import ModelLoadError, OnnxClassifier


def load(path):
    return OnnxClassifier(path / "model.onnx", device="cpu", threads=1)


def test_golden_check_fails_with_another_golden_file(tmp_path):
    path, other = write_model(tmp_path, "one"), write_model(tmp_path, "two", seed=1)
    check_golden(load(path))
    (other / "golden.npz").rename(path / "golden.npz")
    with pytest.raises(ModelLoadError, match="golden check failed"):
        check_golden(load(path))


def test_golden_check_fails_for_nan(tmp_path):
    path = write_model(tmp_path, "one")
    with np.load(path / "golden.npz") as golden:
        np.savez(path / "golden.npz", images=golden["images"], probabilities=golden["probabilities"] * np.nan)
    with pytest.raises(ModelLoadError, match="golden check failed"):
        check_golden(load(path))


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip file"], ids=["empty", "truncated", "other"])
def test_damaged_golden_file_is_a_load_error(tmp_path, content):
    path = write_model(tmp_path, "one")
    (path / "golden.npz").write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"cannot read .*golden\.npz.*export the model again"):
        check_golden(load(path))


@pytest.mark.parametrize(("count", "shape", "rows"), [(0, (28, 28), 0), (3, (28, 28), 2), (3, (27, 28), 3)])
def test_golden_file_of_wrong_shape_is_a_load_error(tmp_path, count, shape, rows):
    path = write_model(tmp_path, "one")
    images, probabilities = np.zeros((count, *shape), np.uint8), np.zeros((rows, 10), np.float32)
    np.savez(path / "golden.npz", images=images, probabilities=probabilities)
    with pytest.raises(ModelLoadError, match=r"expected images \(N, 28, 28\) and probabilities \(N, 10\), got"):
        check_golden(load(path))


def test_missing_golden_file_is_a_load_error(tmp_path):
    path = write_model(tmp_path, "one")
    (path / "golden.npz").unlink()
    with pytest.raises(ModelLoadError, match=r"golden\.npz"):
        check_golden(load(path))
