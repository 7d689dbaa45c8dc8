"""Tests of the committed models over HTTP: accuracy on real test images."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image
from support.paths import DATA
from support.served import serve
from support.service import encode


@pytest.fixture(scope="module")
def client():
    with serve() as served, httpx.Client(base_url=served.url, timeout=60) as client:
        yield client


def load(name):
    with np.load(DATA / name) as sample:
        return sample["images"], sample["labels"]


def score(client, model, labels, requests):
    """Post the requests, 16 at a time; return the accuracy."""
    class_names = client.get(f"/v1/models/{model}").json()["class_names"]
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda arguments: client.post(f"/v1/models/{model}/classify", **arguments), requests))
    assert {response.status_code for response in responses} == {200}
    for response in responses:
        assert sum(response.json()["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    found = [response.json()["label"] for response in responses]
    return np.mean([class_names[label] == name for label, name in zip(labels, found, strict=True)])


def test_500_raw_digits_score_98_per_cent(client):
    images, labels = load("mnist-test-500.npz")
    assert len(images) == 500
    assert score(client, "mnist", labels, [{"content": encode(image)} for image in images]) >= 0.98


def test_200_photos_in_forms_score_90_per_cent(client):
    images, labels = load("cifar10-test-200.npz")
    assert len(images) == 200
    requests = [{"files": {"image": ("photo.png", encode(image), "image/png")}} for image in images]
    assert score(client, "cifar10", labels, requests) >= 0.90


def test_batch_predicts_as_single_requests(client):
    images, _ = load("mnist-test-500.npz")
    contents = [encode(image) for image in images[:100]]
    files = [("images", (f"{number}.png", content)) for number, content in enumerate(contents)]
    predictions = client.post("/v1/models/mnist/classify-batch", files=files).json()["predictions"]
    for content, prediction in zip(contents, predictions, strict=True):
        single = client.post("/v1/models/mnist/classify", content=content).json()
        assert single["label"] == prediction["label"]
        np.testing.assert_allclose(
            list(single["probabilities"].values()), list(prediction["probabilities"].values()), atol=1e-5
        )


def test_cards_have_the_accuracy_on_all_10000_test_images(client):
    for name, min_accuracy in (("mnist", 0.995), ("cifar10", 0.949)):
        test = client.get(f"/v1/models/{name}").json()["test"]
        assert test["num_images"] == 10_000
        assert test["accuracy"] >= min_accuracy


def test_unrelated_image_is_unfamiliar(client):
    images, _ = load("cifar10-test-200.npz")
    photo = Image.fromarray(images[0]).resize((320, 320), Image.Resampling.BICUBIC)
    response = client.post("/v1/models/mnist/classify", content=encode(np.asarray(photo))).json()
    assert (response["familiar"], response["familiarity"] < 0.05) == (False, True)
    images, _ = load("mnist-test-500.npz")
    responses = [client.post("/v1/models/mnist/classify", content=encode(image)).json() for image in images[:100]]
    assert sum(response["familiar"] for response in responses) >= 85
