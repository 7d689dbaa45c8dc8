"""Second look at unfamiliar pictures, on every route that classifies pictures."""

import asyncio

import httpx
import numpy as np
import pytest
from PIL import Image
from support.connections import MNIST, running
from support.paths import ROOT
from support.service import MNIST_BATCH, encode

from models.preparation.digit import digit
from service.images.decoder import open_image
from service.inference.classify import COSTLY_S
from service.prediction import Prediction

DIGIT = np.load(ROOT / "tests" / "data" / "mnist-test-500.npz")["images"][0]
FRAMED = np.pad(DIGIT, 3, constant_values=255)  # a white frame, which is taken for the paper
OTHER = np.pad(np.rot90(DIGIT), 3, constant_values=255)


@pytest.fixture(autouse=True)
def seen(service):
    """Let only the digit be familiar; return the arrays that the model receives."""
    return gate_familiarity(service)


def gate_familiarity(service):
    received, expected = [], digit(Image.fromarray(np.pad(DIGIT, 3))).astype(int)

    def run(images, _classify):
        received.extend(images.copy())
        return [Prediction([0.1] * 10, float(np.abs(image - expected).mean() < 10)) for image in images]

    service.gate("mnist", run)
    return received


def classify(service, *images, has_fast_path=True, path=MNIST):
    """Return the JSON of each response, over one connection."""

    async def main():
        async with running(service, has_fast_path=has_fast_path) as connect:
            client = await connect()
            for image in images:
                client.post(encode(image), path=path)
            return [await client.response() for _ in images]

    return [httpx.Response(status, content=body).json() for status, _, body in asyncio.run(main())]


@pytest.mark.parametrize("has_fast_path", [True, False])
def test_a_more_familiar_framing_is_used(service, has_fast_path):
    framed, other, plain = classify(service, FRAMED, OTHER, DIGIT, has_fast_path=has_fast_path)
    assert (framed["familiarity"], framed["familiar"]) == (1.0, True)
    assert (other["familiarity"], other["familiar"]) == (0.0, False)
    assert plain["familiar"]


def test_a_costly_picture_gets_a_second_look(service):
    large = FRAMED.repeat(100, axis=0).repeat(100, axis=1)
    assert open_image(encode(large), max_pixels=large.size).expected_s > COSTLY_S
    (framed,) = classify(service, large)
    assert framed["familiar"]


def test_a_familiar_picture_runs_once(service, seen):
    classify(service, np.pad(DIGIT, 3))
    assert len(seen) == 1


def test_an_mnist_image_has_no_other_framing(service, seen):
    (response,) = classify(service, np.rot90(DIGIT)[::-1])
    assert not response["familiar"]
    assert len(seen) == 1


def test_the_pixels_of_the_chosen_framing_are_returned(service):
    with_pixels, usual = classify(service, FRAMED, np.pad(DIGIT, 3), path=MNIST + "?pixels=true&explain=true")
    assert with_pixels["pixels"] == usual["pixels"]
    assert with_pixels["saliency"] == usual["saliency"]


def test_images_of_a_batch_get_a_second_look(service):
    images = [OTHER, FRAMED, DIGIT, FRAMED]
    files = [("images", ("a.png", encode(image), "image/png")) for image in images]
    files.insert(1, ("images", ("broken.png", b"no image", "image/png")))
    predictions = service.post(MNIST_BATCH, files=files).json()["predictions"]
    assert [prediction.get("familiar") for prediction in predictions] == [False, None, True, True, True]


def count(service, name):
    """Return the sum of a metric over its labels for mnist."""
    lines = (line.rsplit(" ", 1) for line in service.get("/metrics").text.splitlines() if line[0] != "#")
    return sum(float(value) for key, value in lines if key.startswith(name + "{") and 'model="mnist"' in key)


def test_a_picture_with_a_second_look_is_counted_once(service):
    names = "classifier_requests_total", "classifier_decode_seconds_count"
    before = [count(service, name) for name in names]
    classify(service, FRAMED)
    assert [count(service, name) for name in names] == [value + 1 for value in before]
    assert service.worker.in_flight == 0


def test_framings_are_classified_in_parts_that_fit_into_the_queue(start):
    service = start(max_queue=1)
    gate_familiarity(service)
    (framed,) = classify(service, FRAMED)
    assert framed["familiar"]
