import numpy as np
import onnx
import pytest
from support.tiny_models import ANIMALS, write_model

from service.runtime.hardware import count_gpus
from service.runtime.session import DeviceError, ModelLoadError, OnnxClassifier, batch_bucket, session_options


def load(path, device="cpu"):
    return OnnxClassifier(path / "model.onnx", device=device, threads=1)


def test_classifier_predicts_one_row_per_image(tmp_path):
    classifier = load(
        write_model(tmp_path, "zoo", image_shape=(8, 9, 3), preparation="photo", class_names=ANIMALS), device="auto"
    )
    assert (classifier.image_shape, classifier.device, classifier.card.class_names) == ((8, 9, 3), "cpu", ANIMALS)
    for count in (1, 2, 7):
        probabilities = classifier.predict(np.random.default_rng(0).integers(0, 256, (count, 8, 9, 3), dtype=np.uint8))
        assert probabilities.shape == (count, 3)
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_golden_check_fails_with_another_golden_file(tmp_path):
    path, other = write_model(tmp_path, "one"), write_model(tmp_path, "two", seed=1)
    load(path).check_golden()
    (other / "golden.npz").rename(path / "golden.npz")
    with pytest.raises(ModelLoadError, match="golden check failed"):
        load(path).check_golden()


def test_golden_check_fails_for_nan(tmp_path):
    path = write_model(tmp_path, "one")
    with np.load(path / "golden.npz") as golden:
        np.savez(path / "golden.npz", images=golden["images"], probabilities=golden["probabilities"] * np.nan)
    with pytest.raises(ModelLoadError, match="golden check failed"):
        load(path).check_golden()


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip file"], ids=["empty", "truncated", "other"])
def test_damaged_golden_file_is_a_load_error(tmp_path, content):
    path = write_model(tmp_path, "one")
    (path / "golden.npz").write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"cannot read .*golden\.npz.*export the model again"):
        load(path).check_golden()


@pytest.mark.parametrize(("count", "shape", "rows"), [(0, (28, 28), 0), (3, (28, 28), 2), (3, (27, 28), 3)])
def test_golden_file_of_wrong_shape_is_a_load_error(tmp_path, count, shape, rows):
    path = write_model(tmp_path, "one")
    images, probabilities = np.zeros((count, *shape), np.uint8), np.zeros((rows, 10), np.float32)
    np.savez(path / "golden.npz", images=images, probabilities=probabilities)
    with pytest.raises(ModelLoadError, match=r"expected images \(N, 28, 28\) and probabilities \(N, 10\), got"):
        load(path).check_golden()


@pytest.mark.parametrize("exact", [True, False])
def test_exact_session_sets_the_option_for_cpus_without_vnni(exact):
    entries = session_options(1, exact=exact)
    if exact:
        assert entries.get_session_config_entry("session.x64quantprecision") == "1"
    else:
        with pytest.raises(RuntimeError):
            entries.get_session_config_entry("session.x64quantprecision")


def test_missing_golden_file_is_a_load_error(tmp_path):
    path = write_model(tmp_path, "one")
    (path / "golden.npz").unlink()
    with pytest.raises(ModelLoadError, match=r"golden\.npz"):
        load(path).check_golden()


def test_file_that_is_not_onnx_is_a_load_error(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelLoadError, match=r"cannot load .*model\.onnx"):
        load(tmp_path)


def test_model_without_a_card_is_a_load_error(tmp_path):
    path = write_model(tmp_path, "one") / "model.onnx"
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(ModelLoadError, match="model_card"):
        load(path.parent)


def test_contract_error_names_found_and_expected_types(tmp_path):
    path = write_model(tmp_path, "one") / "model.onnx"
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.save(model, path)
    with pytest.raises(ModelLoadError, match=r"expected input images uint8 .* got images tensor\(float\)"):
        load(path.parent)


def test_familiarity_of_another_shape_violates_the_contract(tmp_path):
    path = write_model(tmp_path, "one") / "model.onnx"
    model = onnx.load(path)
    model.graph.node.append(onnx.helper.make_node("Identity", ["probabilities"], ["familiarity"]))
    output = onnx.helper.make_tensor_value_info("familiarity", onnx.TensorProto.FLOAT, ["batch", None])
    model.graph.output.append(output)
    onnx.save(model, path)
    with pytest.raises(ModelLoadError, match=r"optionally familiarity \(N,\); got .*familiarity tensor"):
        load(path.parent)


@pytest.mark.skipif(count_gpus() > 0, reason="needs a machine without a GPU")
def test_cuda_without_a_gpu_is_a_device_error(tmp_path):
    with pytest.raises(DeviceError, match="expected a GPU, but ONNX Runtime fell back"):
        load(write_model(tmp_path, "one"), device="cuda")


def test_warm_up_runs_one_image_and_the_largest_batch(tmp_path, monkeypatch):
    classifier, sizes = load(write_model(tmp_path, "one")), []
    monkeypatch.setattr(classifier, "run_blank", sizes.append)
    classifier.warm_up(20)
    assert sizes == [1, 20]


def test_batch_buckets_are_powers_of_two():
    assert [batch_bucket(count) for count in (1, 2, 3, 4, 5, 64, 65)] == [1, 2, 4, 4, 8, 64, 128]


def test_familiarity_is_rounded_to_thousandths(tmp_path, monkeypatch):
    classifier = load(write_model(tmp_path, "one"))
    classifier.tells_familiarity = True
    outputs = [np.array([[0.5, 0.5]], np.float32), np.array([0.0042], np.float32)]
    monkeypatch.setattr(classifier, "_run", lambda _images: outputs)
    assert classifier.run(None) == [([0.5, 0.5], 0.004)]
