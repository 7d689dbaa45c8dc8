"""The HTTP contract, tested on the ASGI application in process."""

import numpy as np
import pytest
from support.exported_models import DIGITS
from support.service import MNIST, MNIST_BATCH, ZOO, encode, images, problem
from support.tiny_models import ANIMALS

from service.http.request import parse_headers
from service.runtime.session import OnnxClassifier


def expected(models_dir, name, version, pixels):
    """Return the probabilities of the model file, without the service."""
    classifier = OnnxClassifier(models_dir / name / version / "model.onnx", device="cpu", threads=1)
    return classifier.predict(pixels[None])[0]


def test_a_raw_image_gets_the_probabilities_of_the_model(service, models_dir, digit_pixels, digit_png):
    response = service.post(MNIST, content=digit_png)
    body = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert list(body) == ["model", "version", "label", "confidence", "probabilities"]
    assert (body["model"], body["version"]) == ("mnist", "2")
    assert tuple(body["probabilities"]) == DIGITS
    row = expected(models_dir, "mnist", "2", digit_pixels)
    np.testing.assert_allclose(list(body["probabilities"].values()), row, atol=1e-6)
    assert sum(body["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert body["label"] == DIGITS[int(row.argmax())]
    assert body["confidence"] == max(body["probabilities"].values())


def test_a_raw_image_may_have_any_content_type(service, digit_png):
    content_types = ["image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain"]
    requests = [("POST", MNIST, {"content": digit_png, "headers": {"content-type": value}}) for value in content_types]
    assert [response.status_code for response in service.ask(*requests)] == [200] * len(content_types)


def test_a_form_gets_the_same_prediction(service, digit_png):
    form = service.post(MNIST, files={"image": ("seven.png", digit_png, "image/png")}, data={"note": "x"})
    assert form.json() == service.post(MNIST, content=digit_png).json()


def test_a_request_can_select_a_version(service, models_dir, digit_pixels, digit_png):
    body = service.post("/v1/models/mnist/versions/1/classify", content=digit_png).json()
    assert body["version"] == "1"
    row = expected(models_dir, "mnist", "1", digit_pixels)
    np.testing.assert_allclose(list(body["probabilities"].values()), row, atol=1e-6)


def test_top_returns_the_most_likely_classes_in_order(service, digit_png):
    all_classes = service.post(MNIST, content=digit_png).json()["probabilities"]
    body = service.post(f"{MNIST}?top=3", content=digit_png).json()
    assert body["ranking"] == sorted(all_classes, key=lambda name: -all_classes[name])[:3]
    assert body["probabilities"] == {name: all_classes[name] for name in body["ranking"]}
    assert list(body["probabilities"]) == sorted(body["ranking"])  # JavaScript would sort them so


@pytest.mark.parametrize("top", ["0", "-1", "x", "1.5", "", "9" * 12, "%F0"])
def test_an_invalid_top_is_a_bad_request(service, digit_png, top):
    assert problem(service.post(f"{MNIST}?top={top}", content=digit_png)) == (400, "bad_request")


def test_an_unknown_query_parameter_is_400_with_the_known_ones(service, digit_png):
    response = service.post(f"{MNIST}?topp=3", content=digit_png)
    assert problem(response) == (400, "bad_request")
    assert response.json()["detail"] == "unsupported query parameter 'topp', expected explain, pixels, top"


def test_a_batch_has_its_predictions_in_order(service):
    rng = np.random.default_rng(0)
    contents = [encode(rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)) for _ in range(70)]
    body = service.post("/v1/models/zoo/classify-batch?top=1", **images(*contents)).json()
    assert (body["model"], body["version"]) == ("zoo", "1")
    singles = service.ask(*[("POST", f"{ZOO}?top=1", {"content": content}) for content in contents])
    for prediction, single in zip(body["predictions"], singles, strict=True):
        assert prediction["label"] == single.json()["label"]
        assert prediction["confidence"] == pytest.approx(single.json()["confidence"], abs=1e-6)
    assert {prediction["label"] for prediction in body["predictions"]} <= set(ANIMALS)


def test_a_batch_has_a_problem_in_place_of_an_invalid_image(service, digit_png):
    response = service.post("/v1/models/mnist/versions/1/classify-batch", **images(b"text", digit_png, digit_png[:-30]))
    assert response.status_code == 200
    first, second, third = response.json()["predictions"]
    assert (first["status"], first["code"]) == (415, "unsupported_image")
    assert second["label"] in DIGITS
    assert (third["status"], third["code"]) == (422, "unreadable_image")


def test_a_batch_of_only_invalid_images_is_200(service):
    response = service.post(MNIST_BATCH, **images(b"x", b""))
    assert response.status_code == 200
    assert [prediction["code"] for prediction in response.json()["predictions"]] == ["unsupported_image"] * 2


def test_large_pictures_in_a_batch_keep_their_order(service):
    black, white = np.zeros((600, 400, 3), np.uint8), np.full((16, 24, 3), 255, np.uint8)
    contents = [encode(black), encode(white), encode(black)[:500], encode(white)]
    predictions = service.post("/v1/models/zoo/classify-batch", **images(*contents)).json()["predictions"]
    assert predictions[1] == predictions[3] != predictions[0]
    assert predictions[2]["code"] == "unreadable_image"


def test_the_bentoml_endpoint_accepts_a_plain_or_json_name(service, digit_png):
    plain = service.post(MNIST, content=digit_png).json()
    for name in ('"mnist"', "mnist"):
        assert service.post("/classify", files={"image": digit_png}, data={"model": name}).json() == plain


def test_a_response_has_server_timing(service, digit_png):
    timing = service.post(MNIST, content=digit_png).headers["server-timing"]
    entries = dict(entry.split(";dur=") for entry in timing.split(", "))
    assert list(entries) == ["decode", "queue", "inference"]
    assert float(entries["decode"]) > 0
    assert float(entries["inference"]) > 0


def test_a_valid_request_id_is_returned_and_others_replaced(service, digit_png):
    def ids(value):
        for path in (MNIST, "/v1/models", "/nowhere"):
            method = "POST" if path == MNIST else "GET"
            (response,) = service.ask((method, path, {"content": digit_png, "headers": {"x-request-id": value}}))
            yield response.headers["x-request-id"]

    assert set(ids("My-id_1.2")) == {"My-id_1.2"}
    new = list(ids("not valid\t!"))
    assert len(set(new)) == 3
    assert all(0 < len(value) <= 128 for value in [*new, *ids("a" * 129)])


def test_the_first_valid_request_id_is_returned():
    headers = [(b"x-request-id", value) for value in (b"not valid!", b"one", b"two")]
    assert parse_headers({"headers": headers}).request_id == b"one"


# Models.


def test_the_models_are_listed(service):
    mnist, zoo = service.get("/v1/models").json()["models"]
    assert mnist == {
        "name": "mnist",
        "versions": ["1", "2"],
        "default": "2",
        "device": "cpu",
        "precision": "float32",
        "classes": 10,
        "accuracy": service.worker.models.find("mnist").card.test.accuracy,
        "calibrated": True,
        "familiarity": False,
    }
    assert (zoo["name"], zoo["classes"]) == ("zoo", 3)


def test_a_model_shows_its_card_and_shapes(service):
    card = service.get("/v1/models/zoo").json()
    assert card["class_names"] == list(ANIMALS)
    assert card["inputs"] == {"images": {"dtype": "uint8", "shape": ["batch", 16, 24, 3]}}
    assert card["outputs"] == {"probabilities": {"dtype": "float32", "shape": ["batch", 3]}}
    assert service.get("/v1/models/mnist").json()["version"] == "2"
    assert service.get("/v1/models/mnist/versions/1").json()["version"] == "1"


def test_unknown_names_are_404_with_the_known_names(service, digit_png):
    for method, path, code, known in [
        ("GET", "/v1/models/cat", "unknown_model", "mnist, zoo"),
        ("GET", "/v1/models/mnist/versions/7", "unknown_version", "1, 2"),
        ("POST", "/v1/models/cat/classify", "unknown_model", "mnist, zoo"),
        ("POST", "/v1/models/cat/classify-batch", "unknown_model", "mnist, zoo"),
        ("POST", "/v1/models/mnist/versions/7/classify", "unknown_version", "1, 2"),
    ]:
        (response,) = service.ask((method, path, {"content": digit_png}))
        assert problem(response) == (404, code)
        assert known in response.json()["detail"]
    response = service.post("/classify", files={"image": digit_png}, data={"model": '"cat"'})
    assert problem(response) == (404, "unknown_model")


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/models//classify", "/v3"])
def test_an_unknown_path_is_a_404_problem(service, path):
    assert problem(service.get(path)) == (404, "not_found")
    assert problem(service.post(path, content=b"x")) == (404, "not_found")


def test_a_wrong_method_is_405_with_the_allowed_methods(service):
    for method, path, allow in [
        ("GET", MNIST, "OPTIONS, POST"),
        ("PUT", MNIST_BATCH, "OPTIONS, POST"),
        ("DELETE", "/classify", "OPTIONS, POST"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("POST", "/v1/models/mnist", "GET, HEAD, OPTIONS"),
    ]:
        (response,) = service.ask((method, path, {}))
        assert problem(response) == (405, "method_not_allowed")
        assert set(response.headers["allow"].split(", ")) == set(allow.split(", "))


# Invalid input.


@pytest.mark.parametrize(
    "arguments",
    [
        {"content": b""},
        {"files": {"picture": b"x"}},
        {"files": [("image", b"x"), ("image", b"y")]},
        {"files": {"image": b""}},
        {"content": b"--XX\r\n", "headers": {"content-type": "multipart/form-data; boundary=XX"}},
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
    ],
)
def test_a_body_without_exactly_one_image_is_a_bad_request(service, arguments):
    assert problem(service.post(MNIST, **arguments)) == (400, "bad_request")


@pytest.mark.parametrize("arguments", [{"content": b"x"}, {"files": {"image": b"x"}}, {"content": b""}])
def test_a_batch_without_images_is_a_bad_request(service, arguments):
    assert problem(service.post(MNIST_BATCH, **arguments)) == (400, "bad_request")


@pytest.mark.parametrize(
    "arguments", [{"content": b"x"}, {"files": {"image": b"x"}}, {"files": {"model": b"mnist"}}, {"content": b""}]
)
def test_the_bentoml_endpoint_needs_an_image_and_a_model(service, arguments):
    assert problem(service.post("/classify", **arguments)) == (400, "bad_request")


def test_other_bytes_are_415_and_a_truncated_image_is_422(service, digit_png):
    assert problem(service.post(MNIST, content=b"hello")) == (415, "unsupported_image")
    assert problem(service.post(MNIST, content=digit_png[:60])) == (422, "unreadable_image")


def test_a_body_over_the_limit_is_413(start, digit_png):
    service = start(max_body_bytes=len(digit_png), max_batch_body_bytes=3 * len(digit_png))
    assert service.post(MNIST, content=digit_png).status_code == 200
    assert problem(service.post(MNIST, content=digit_png + b"x")) == (413, "body_too_large")

    sent = []

    async def in_chunks():
        while len(sent) < 100:
            sent.append(digit_png)
            yield digit_png

    assert problem(service.post(MNIST, content=in_chunks())) == (413, "body_too_large")
    assert len(sent) < 5  # refused as soon as the limit is exceeded, not at the end of the body
    sent.clear()
    declared = {"content-length": str(100 * len(digit_png))}
    assert problem(service.post(MNIST, content=in_chunks(), headers=declared)) == (413, "body_too_large")
    assert not sent
    assert problem(service.post(MNIST_BATCH, **images(*[digit_png] * 3))) == (413, "body_too_large")
    (prediction,) = service.post(MNIST_BATCH, **images(digit_png + b"x")).json()["predictions"]
    assert prediction["code"] == "body_too_large"
    assert service.worker.budget.held == 0


def test_a_batch_of_257_images_is_413(service, digit_png):
    response = service.post(MNIST_BATCH, **images(*[digit_png] * 256), data={"note": "a field that is not an image"})
    assert len(response.json()["predictions"]) == 256
    assert problem(service.post(MNIST_BATCH, **images(*[digit_png] * 257))) == (413, "body_too_large")


def test_a_picture_over_the_pixel_limit_is_413(start, digit_png):
    service = start(max_pixels=28 * 28 - 1)
    response = service.post(MNIST, content=digit_png)
    assert problem(response) == (413, "image_too_large")
    assert "28" in response.json()["detail"]


def test_deeply_nested_json_as_model_name_is_unknown(service, digit_png):
    for name in ("[" * 100_000, '"' + "[" * 100_000, "{" * 5000):
        response = service.post("/classify", files={"image": digit_png}, data={"model": name})
        assert problem(response) == (404, "unknown_model")
        assert len(response.content) < 1000


def test_a_query_with_too_many_fields_is_a_bad_request(service, digit_png):
    assert problem(service.post(f"{MNIST}?{'a&' * 3000}top=1", content=digit_png)) == (400, "bad_request")


def test_bentomls_routes_are_405_for_other_methods(service):
    for path in ("/livez", "/readyz"):
        assert problem(service.post(path)) == (405, "method_not_allowed")
