import numpy as np
import onnx
import onnxruntime as ort
import pytest
from support.paths import ROOT
from support.tiny_models import ANIMALS, write_model

from models.contract import newest_version
from service.runtime.hardware import count_gpus
from service.runtime.session import DeviceError, ModelLoadError, OnnxClassifier, open_on_gpu, session_options


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


@pytest.mark.parametrize("exact", [True, False])
def test_exact_session_sets_the_option_for_cpus_without_vnni(exact):
    entries = session_options(1, exact=exact)
    if exact:
        assert entries.get_session_config_entry("session.x64quantprecision") == "1"
    else:
        with pytest.raises(RuntimeError):
            entries.get_session_config_entry("session.x64quantprecision")


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
    with pytest.raises(DeviceError, match="expected a GPU, but none is visible"):
        load(write_model(tmp_path, "one"), device="cuda")


def test_warm_up_runs_the_sizes_of_the_first_requests(tmp_path):
    sizes = []

    class Recorder(OnnxClassifier):
        def run_blank(self, count):
            sizes.append(count)

    classifier = Recorder(write_model(tmp_path, "one") / "model.onnx", device="cpu", threads=1)
    classifier.warm_up(20)
    classifier.device = "cuda"
    classifier.warm_up(6)
    assert sizes == [1, 20, 1, 2, 4, 8]


def test_familiarity_is_rounded_to_thousandths():
    path = newest_version(ROOT / "models" / "mnist")
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28), dtype=np.uint8)
    images[:, :4] = images[:, 24:] = images[:, :, :10] = images[:, :, 18:] = 0  # some of these are a little familiar
    session = ort.InferenceSession(path / "model.onnx", providers=["CPUExecutionProvider"])
    (exact,) = session.run(["familiarity"], {"images": images})
    found = [prediction.familiarity for prediction in load(path).run(images)]
    assert found == [round(float(value), 3) for value in exact]
    assert found != exact.tolist()


@pytest.mark.skipif(count_gpus() > 0, reason="needs a machine without a GPU")
def test_another_session_that_falls_back_to_the_cpu_is_an_error(tmp_path):
    path = write_model(tmp_path, "one") / "model.onnx"
    with pytest.raises(DeviceError, match="not enough GPU memory for another batch size"):
        open_on_gpu(path, ["CPUExecutionProvider"], exact=False)
