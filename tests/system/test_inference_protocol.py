"""The Open Inference Protocol, in process and with Triton's client against a real server."""

import json

import numpy as np
import pytest
import tritonclient.http as triton
from support.paths import ROOT
from support.served import serve
from support.tiny_models import ANIMALS
from tritonclient.utils import InferenceServerException

INFER = "/v2/models/zoo/infer"
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)


def tensor(images=IMAGES, **changes):
    return {"name": "images", "datatype": "UINT8", "shape": list(images.shape), "data": images.tolist()} | changes


def infer(service, path=INFER, images=IMAGES, **fields):
    return service.post(path, json={"inputs": [tensor(images)]} | fields)


def error(response):
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    return response.status_code, response.json()["error"]


def test_data_may_be_nested_or_flat_lists(service):
    nested = infer(service, id="a-request").json()
    flat = service.post(INFER, json={"inputs": [tensor(data=IMAGES.ravel().tolist())], "parameters": {}}).json()
    assert nested["outputs"] == flat["outputs"]
    assert (nested["model_name"], nested["model_version"], nested["id"]) == ("zoo", "1", "a-request")
    assert "id" not in flat
    (output,) = nested["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [3, len(ANIMALS)])
    expected = service.worker.models.find("zoo").classifier.predict(IMAGES)
    np.testing.assert_allclose(np.reshape(output["data"], output["shape"]), expected, atol=1e-6)


def test_tensors_are_binary_when_requested(service):
    description = tensor(parameters={"binary_data_size": IMAGES.nbytes})
    del description["data"]
    json_part = json.dumps({"inputs": [description], "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(json_part))}
    response = service.post(INFER, content=json_part + IMAGES.tobytes(), headers=headers)
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    document = json.loads(response.content[:length])
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 4 * 3 * len(ANIMALS)}
    probabilities = np.frombuffer(response.content[length:], np.float32)
    np.testing.assert_allclose(probabilities, infer(service).json()["outputs"][0]["data"], atol=1e-6)


def test_classification_returns_the_most_likely_classes(service):
    outputs = [{"name": "probabilities", "parameters": {"classification": 2}}]
    (output,) = infer(service, outputs=outputs).json()["outputs"]
    probabilities = np.reshape(infer(service).json()["outputs"][0]["data"], (3, -1))
    assert (output["datatype"], output["shape"]) == ("BYTES", [3, 2])
    for row, texts in zip(probabilities, np.reshape(output["data"], (3, 2)), strict=True):
        top_classes = np.argsort(-row)[:2]
        values, *named = zip(*(text.split(":") for text in texts), strict=True)
        assert [float(value) for value in values] == pytest.approx(row[top_classes], abs=2e-6)
        assert list(zip(*named, strict=True)) == [(str(index), ANIMALS[index]) for index in top_classes]


def test_a_request_can_select_a_version(service):
    digits = np.zeros((1, 28, 28), np.uint8)
    assert infer(service, "/v2/models/mnist/infer", digits).json()["model_version"] == "2"
    assert infer(service, "/v2/models/mnist/versions/1/infer", digits).json()["model_version"] == "1"
    status, message = error(infer(service, "/v2/models/mnist/versions/7/infer", digits))
    assert (status, "1, 2" in message) == (404, True)


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        (b"{", "not JSON"),
        (b"[]", "valid dictionary"),
        (b"{}", "inputs: Field required"),
        (json.dumps({"inputs": []}).encode(), "expected one, `images`"),
        (json.dumps({"inputs": [tensor(name="x")]}).encode(), "expected one, `images`"),
        (json.dumps({"inputs": [tensor()] * 2}).encode(), "expected one, `images`"),
        (json.dumps({"inputs": [tensor(datatype="FP32")]}).encode(), "expected datatype UINT8"),
        (json.dumps({"inputs": [tensor(shape=[3, 16, 24])]}).encode(), "expected shape ['N', 16, 24, 3]"),
        (json.dumps({"inputs": [tensor(shape=[0, 16, 24, 3])]}).encode(), "expected shape"),
        (json.dumps({"inputs": [tensor(shape=[-3, 16, 24, 3])]}).encode(), "expected shape"),
        (json.dumps({"inputs": [tensor(shape=[])]}).encode(), "expected shape"),
        (json.dumps({"inputs": [tensor(shape=["3", 16, 24, 3])]}).encode(), "inputs.0.shape.0"),
        (json.dumps({"inputs": [tensor(shape=[10**30, 16, 24, 3])]}).encode(), ""),
        (json.dumps({"inputs": [tensor(shape=[4, 16, 24, 3])]}).encode(), "whole numbers from 0 to 255"),
        (json.dumps({"inputs": [tensor(data=[[1, 2], [3]])]}).encode(), "whole numbers from 0 to 255"),
        (json.dumps({"inputs": [tensor(data=(IMAGES + 256.0).tolist())]}).encode(), "whole numbers from 0 to 255"),
        (json.dumps({"inputs": [tensor(data=(IMAGES.astype(int) - 300).tolist())]}).encode(), "whole numbers"),
        (json.dumps({"inputs": [tensor(data=[[[["a"] * 3] * 24] * 16] * 3)]}).encode(), "whole numbers from 0 to 255"),
        (json.dumps({"inputs": [tensor(data=["a" * 9999] + [""] * 3455)]}).encode(), "whole numbers from 0 to 255"),
        (json.dumps({"inputs": [tensor(data=[True] * 3456)]}).encode(), "whole numbers from 0 to 255"),
        (json.dumps({"inputs": [tensor()], "outputs": [1] * 9}).encode(), "outputs: List should have at most 8"),
        (json.dumps({"inputs": [tensor(data=None)]}).encode(), "whole numbers from 0 to 255"),
        (json.dumps({"inputs": [tensor(parameters={"binary_data_size": 3456})]}).encode(), "0 bytes follow the JSON"),
        (json.dumps({"inputs": [tensor()], "outputs": [{"name": "logits"}]}).encode(), "no 'logits'"),
    ],
)
def test_a_malformed_request_is_400_in_the_protocols_format(service, body, fragment):
    status, message = error(service.post(INFER, content=body))
    assert status == 400
    assert fragment in message


def test_too_many_images_bytes_or_outputs_are_refused(service):
    many = np.zeros((257, 28, 28), np.uint8)
    path = "/v2/models/mnist/infer"
    status, message = error(infer(service, path, many))
    assert (status, message) == (413, "images: 257 images, expected at most 256")
    padded = json.dumps({"inputs": [tensor(many[:1])]}).encode() + b" " * 2_000_000
    assert error(service.post(path, content=padded))[0] == 413
    outputs = [{"name": "probabilities"}] * 2
    assert error(infer(service, outputs=outputs)) == (400, "outputs: 2 requested, the model has 1")
    assert infer(service, path, many[:256]).json()["outputs"][0]["shape"] == [256, 10]


@pytest.mark.parametrize("length", ["x", "-1", "99999", "1" * 20])
def test_an_invalid_json_length_is_refused(service, length):
    response = service.post(INFER, content=b"{}", headers={"inference-header-content-length": length})
    assert error(response)[0] == 400


def test_every_refusal_has_the_protocols_format(service, start):
    assert error(service.get(INFER))[0] == 405
    assert error(service.get("/v2/models/unknown"))[0] == 404
    assert error(service.get("/v2/nothing"))[0] == 404
    assert error(service.post("/v2/models/zoo/classify", content=b"x"))[0] == 404
    assert error(service.post("/v2/health/ready"))[0] == 405
    assert error(service.post(INFER, content=b"{}", headers={"content-encoding": "gzip"}))[0] == 400
    assert error(infer(start(max_queue=2)))[0] == 413
    assert error(start(load=False).post(INFER, content=b"{}"))[0] == 503


def test_the_server_and_its_models_describe_themselves(service, start):
    assert service.get("/v2").json()["extensions"] == ["binary_tensor_data", "classification"]
    assert service.get("/v2/models/mnist").json() == {
        "name": "mnist",
        "versions": ["1", "2"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
    }
    assert service.get("/v2/models/mnist/versions/1/ready").json() == {"name": "mnist", "ready": True}
    assert [service.get(f"/v2/health/{state}").status_code for state in ("live", "ready")] == [200, 200]
    unready = start(load=False)
    assert [unready.get(f"/v2/health/{state}").status_code for state in ("live", "ready")] == [200, 503]
    assert error(unready.get("/v2/models/mnist/ready"))[0] == 503


@pytest.fixture(scope="module")
def client():
    with serve() as served, triton.InferenceServerClient(served.url.removeprefix("http://")) as client:
        yield client


def sample(name):
    with np.load(ROOT / "tests" / "data" / name) as data:
        return data["images"][:20], data["labels"][:20]


def test_tritons_client_reads_states_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("cifar10")
    assert not client.is_model_ready("unknown")
    assert client.get_server_metadata()["name"] == "image-classifier"
    assert client.get_model_metadata("cifar10")["inputs"][0]["shape"] == [-1, 32, 32, 3]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(("model", "name"), [("mnist", "mnist-test-500.npz"), ("cifar10", "cifar10-test-200.npz")])
def test_tritons_client_infers(client, model, name, binary):
    images, labels = sample(name)
    image_input = triton.InferInput("images", list(images.shape), "UINT8")
    image_input.set_data_from_numpy(images, binary_data=binary)
    outputs = [
        triton.InferRequestedOutput("probabilities", binary_data=binary),
        triton.InferRequestedOutput("familiarity", binary_data=binary),
    ]
    result = client.infer(model, [image_input], outputs=outputs, request_id="one")
    probabilities = result.as_numpy("probabilities")
    assert (probabilities.shape, probabilities.dtype) == ((20, 10), np.float32)
    assert (probabilities.argmax(axis=1) == labels).mean() >= 0.9
    assert result.as_numpy("familiarity").shape == (20,)
    assert result.get_response()["id"] == "one"
    defaults = client.infer(model, [image_input])
    np.testing.assert_allclose(defaults.as_numpy("probabilities"), probabilities, atol=1e-5)


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_gets_the_most_likely_classes(client, binary):
    images, labels = sample("cifar10-test-200.npz")
    image_input = triton.InferInput("images", [1, 32, 32, 3], "UINT8")
    image_input.set_data_from_numpy(images[:1])
    requested = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=3)
    texts = [
        text.decode() if binary else text
        for text in client.infer("cifar10", [image_input], outputs=[requested]).as_numpy("probabilities")[0]
    ]
    assert len(texts) == 3
    value, index, label = texts[0].split(":")
    assert (float(value) > 0.5, int(index), bool(label)) == (True, labels[0], True)


def test_tritons_client_gets_the_error_message(client):
    image_input = triton.InferInput("images", [1, 28, 28], "UINT8")
    image_input.set_data_from_numpy(np.zeros((1, 28, 28), np.uint8))
    with pytest.raises(InferenceServerException, match=r"expected shape .*32, 32, 3.*got \[1, 28, 28\]"):
        client.infer("cifar10", [image_input])
    with pytest.raises(InferenceServerException, match="no model 'unknown'"):
        client.infer("unknown", [image_input])
