"""The HTTP contract, asked of the ASGI application in process."""

import numpy as np
import pytest
from support.exported_models import DIGITS
from support.service import MNIST, MNIST_BATCH, ZOO, encode, images, problem
from support.tiny_models import ANIMALS

from service.http.request import read_headers
from service.runtime.session import OnnxClassifier


def expected(models_dir, name, version, pixels):
    """Return what the file itself says, without the service."""
    classifier = OnnxClassifier(models_dir / name / version / "model.onnx", device="cpu", threads=1)
    return classifier.predict(pixels[None])[0]


def test_a_raw_image_gets_the_models_own_probabilities(service, models_dir, digit_pixels, digit_png):
    response = service.post(MNIST, content=digit_png)
    answer = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert list(answer) == ["model", "version", "label", "confidence", "probabilities"]
    assert (answer["model"], answer["version"]) == ("mnist", "2")
    assert tuple(answer["probabilities"]) == DIGITS
    row = expected(models_dir, "mnist", "2", digit_pixels)
    np.testing.assert_allclose(list(answer["probabilities"].values()), row, atol=1e-6)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert answer["label"] == DIGITS[int(row.argmax())]
    assert answer["confidence"] == max(answer["probabilities"].values())


def test_any_content_type_will_do_for_a_raw_image(service, digit_png):
    kinds = ["image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain"]
    requests = [("POST", MNIST, {"content": digit_png, "headers": {"content-type": kind}}) for kind in kinds]
    assert [response.status_code for response in service.ask(*requests)] == [200] * len(kinds)


def test_a_form_gets_the_same_answer(service, digit_png):
    form = service.post(MNIST, files={"image": ("seven.png", digit_png, "image/png")}, data={"note": "x"})
    assert form.json() == service.post(MNIST, content=digit_png).json()


def test_a_version_is_answered_by_that_version(service, models_dir, digit_pixels, digit_png):
    answer = service.post("/v1/models/mnist/versions/1/classify", content=digit_png).json()
    assert answer["version"] == "1"
    row = expected(models_dir, "mnist", "1", digit_pixels)
    np.testing.assert_allclose(list(answer["probabilities"].values()), row, atol=1e-6)


def test_top_keeps_the_likeliest_first(service, digit_png):
    everything = service.post(MNIST, content=digit_png).json()["probabilities"]
    answer = service.post(f"{MNIST}?top=3", content=digit_png).json()
    assert list(answer["probabilities"].items()) == sorted(everything.items(), key=lambda item: -item[1])[:3]


@pytest.mark.parametrize("top", ["0", "-1", "x", "1.5", "", "9" * 12, "%F0"])
def test_a_bad_top_is_a_bad_request(service, digit_png, top):
    assert problem(service.post(f"{MNIST}?top={top}", content=digit_png)) == (400, "bad_request")


def test_another_query_value_is_passed_over(service, digit_png):
    assert service.post(f"{MNIST}?cache=1", content=digit_png).status_code == 200


def test_a_batch_is_answered_in_order(service):
    rng = np.random.default_rng(0)
    contents = [encode(rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)) for _ in range(70)]
    answer = service.post("/v1/models/zoo/classify-batch?top=1", **images(*contents)).json()
    assert (answer["model"], answer["version"]) == ("zoo", "1")
    singles = service.ask(*[("POST", f"{ZOO}?top=1", {"content": content}) for content in contents])
    for prediction, single in zip(answer["predictions"], singles, strict=True):
        assert prediction["label"] == single.json()["label"]
        assert prediction["confidence"] == pytest.approx(single.json()["confidence"], abs=1e-6)
    assert {prediction["label"] for prediction in answer["predictions"]} <= set(ANIMALS)


def test_an_unreadable_image_has_its_problem_in_its_place_in_a_batch(service, digit_png):
    answer = service.post("/v1/models/mnist/versions/1/classify-batch", **images(b"text", digit_png, digit_png[:-30]))
    assert answer.status_code == 200
    first, second, third = answer.json()["predictions"]
    assert (first["status"], first["code"]) == (415, "unsupported_image")
    assert second["label"] in DIGITS
    assert (third["status"], third["code"]) == (422, "unreadable_image")


def test_a_batch_of_bad_images_is_still_answered(service):
    answer = service.post(MNIST_BATCH, **images(b"x", b""))
    assert answer.status_code == 200
    assert [prediction["code"] for prediction in answer.json()["predictions"]] == ["unsupported_image"] * 2


def test_large_pictures_in_a_batch_keep_their_order(service):
    black, white = np.zeros((600, 400, 3), np.uint8), np.full((16, 24, 3), 255, np.uint8)
    contents = [encode(black), encode(white), encode(black)[:500], encode(white)]
    predictions = service.post("/v1/models/zoo/classify-batch", **images(*contents)).json()["predictions"]
    assert predictions[1] == predictions[3] != predictions[0]
    assert predictions[2]["code"] == "unreadable_image"


def test_the_typed_door_takes_the_name_with_and_without_quotes(service, digit_png):
    plain = service.post(MNIST, content=digit_png).json()
    for name in ('"mnist"', "mnist"):
        assert service.post("/classify", files={"image": digit_png}, data={"model": name}).json() == plain


def test_an_answer_says_where_its_time_went(service, digit_png):
    timing = service.post(MNIST, content=digit_png).headers["server-timing"]
    entries = dict(entry.split(";dur=") for entry in timing.split(", "))
    assert list(entries) == ["decode", "queue", "inference"]
    assert float(entries["decode"]) > 0
    assert float(entries["inference"]) > 0


def test_a_clients_request_id_comes_back_and_an_unfit_one_is_replaced(service, digit_png):
    def ids(value):
        for path in (MNIST, "/v1/models", "/nowhere"):
            method = "POST" if path == MNIST else "GET"
            (response,) = service.ask((method, path, {"content": digit_png, "headers": {"x-request-id": value}}))
            yield response.headers["x-request-id"]

    assert set(ids("My-id_1.2")) == {"My-id_1.2"}
    new = list(ids("not fit\t!"))
    assert len(set(new)) == 3
    assert all(0 < len(value) <= 128 for value in [*new, *ids("a" * 129)])


def test_of_several_request_ids_the_first_that_is_fit_comes_back():
    headers = [(b"x-request-id", value) for value in (b"not fit!", b"one", b"two")]
    assert read_headers({"headers": headers}).request_id == b"one"


# ---- models, documents


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
    }
    assert (zoo["name"], zoo["classes"]) == ("zoo", 3)


def test_a_model_shows_its_card_and_shapes(service):
    card = service.get("/v1/models/zoo").json()
    assert card["class_names"] == list(ANIMALS)
    assert card["inputs"] == {"images": {"dtype": "uint8", "shape": ["batch", 16, 24, 3]}}
    assert card["outputs"] == {"probabilities": {"dtype": "float32", "shape": ["batch", 3]}}
    assert service.get("/v1/models/mnist").json()["version"] == "2"
    assert service.get("/v1/models/mnist/versions/1").json()["version"] == "1"


def test_unknown_names_are_404_with_those_that_exist(service, digit_png):
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


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/models/mnist/classify/", "/v1/models//classify", "/v3"])
def test_a_path_that_is_not_there_is_404_in_our_shape(service, path):
    assert problem(service.get(path)) == (404, "not_found")
    assert problem(service.post(path, content=b"x")) == (404, "not_found")


def test_the_wrong_verb_is_405_with_the_right_ones(service):
    for method, path, allow in [
        ("GET", MNIST, "POST"),
        ("PUT", MNIST_BATCH, "POST"),
        ("DELETE", "/classify", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("POST", "/v1/models/mnist", "GET, HEAD"),
    ]:
        (response,) = service.ask((method, path, {}))
        assert problem(response) == (405, "method_not_allowed")
        assert set(response.headers["allow"].split(", ")) == set(allow.split(", "))


# ---- bad input


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
def test_the_typed_door_wants_image_and_model(service, arguments):
    assert problem(service.post("/classify", **arguments)) == (400, "bad_request")


def test_bytes_that_are_no_image_are_415_and_cut_off_ones_422(service, digit_png):
    assert problem(service.post(MNIST, content=b"hello")) == (415, "unsupported_image")
    assert problem(service.post(MNIST, content=digit_png[:60])) == (422, "unreadable_image")


def test_a_body_over_the_limit_is_413_announced_or_not(start, digit_png):
    service = start(max_body_bytes=len(digit_png), max_batch_body_bytes=3 * len(digit_png))
    assert service.post(MNIST, content=digit_png).status_code == 200
    assert problem(service.post(MNIST, content=digit_png + b"x")) == (413, "body_too_large")

    pulled = []

    async def in_chunks():
        while len(pulled) < 100:
            pulled.append(digit_png)
            yield digit_png

    assert problem(service.post(MNIST, content=in_chunks())) == (413, "body_too_large")
    assert len(pulled) < 5  # refused as soon as it is too much, not when all of it is there
    pulled.clear()
    announced = {"content-length": str(100 * len(digit_png))}
    assert problem(service.post(MNIST, content=in_chunks(), headers=announced)) == (413, "body_too_large")
    assert not pulled
    assert problem(service.post(MNIST_BATCH, **images(*[digit_png] * 3))) == (413, "body_too_large")
    (prediction,) = service.post(MNIST_BATCH, **images(digit_png + b"x")).json()["predictions"]
    assert prediction["code"] == "body_too_large"
    assert service.worker.budget.held == 0


def test_the_257th_image_of_a_batch_is_one_too_many(service, digit_png):
    answer = service.post(MNIST_BATCH, **images(*[digit_png] * 256), data={"note": "text counts for nothing"})
    assert len(answer.json()["predictions"]) == 256
    assert problem(service.post(MNIST_BATCH, **images(*[digit_png] * 257))) == (413, "body_too_large")


def test_a_picture_over_the_pixel_limit_is_413(start, digit_png):
    service = start(max_pixels=28 * 28 - 1)
    response = service.post(MNIST, content=digit_png)
    assert problem(response) == (413, "image_too_large")
    assert "28" in response.json()["detail"]


def test_a_model_name_that_is_deeply_nested_json_is_just_an_unknown_name(service, digit_png):
    for name in ("[" * 100_000, '"' + "[" * 100_000, "{" * 5000):
        response = service.post("/classify", files={"image": digit_png}, data={"model": name})
        assert problem(response) == (404, "unknown_model")
        assert len(response.content) < 1000


def test_a_query_of_megabytes_is_a_bad_request(service, digit_png):
    assert problem(service.post(f"{MNIST}?{'a&' * 3000}top=1", content=digit_png)) == (400, "bad_request")


def test_bentomls_own_routes_are_405_for_other_verbs(service):
    for path in ("/livez", "/readyz"):
        assert problem(service.post(path)) == (405, "method_not_allowed")
