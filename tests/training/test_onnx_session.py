"""ONNX Runtime sessions of the training side."""

import pytest
import torch
from support.exported_models import publish_tiny_model, random_split

from training.onnx_session import open_session, runs_on_gpu

IMAGES = {"images": random_split(count=5).images.numpy()}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return publish_tiny_model(tmp_path_factory.mktemp("models")) / "model.onnx"


def test_session_opens_a_path_or_the_content_of_a_file(path):
    from_path, from_content = (
        open_session(model).run(["probabilities"], IMAGES)[0] for model in (path, path.read_bytes())
    )
    assert from_path.shape == (5, 10)
    assert (from_path == from_content).all()


def test_session_threads_are_limited_and_sleep_between_runs(path):
    options = open_session(path, threads=3).get_session_options()
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert open_session(path).get_session_options().intra_op_num_threads == 0  # all cores


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_session_falls_back_to_the_cpu_without_a_gpu(path):
    assert not runs_on_gpu(open_session(path, on_gpu=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_session_runs_on_the_gpu_only_when_requested(path):
    assert runs_on_gpu(open_session(path, on_gpu=True))
    assert not runs_on_gpu(open_session(path))
