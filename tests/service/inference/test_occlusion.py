"""Saliency by occlusion."""

import base64
import io
import itertools
import math

import numpy as np
import pytest
from PIL import Image
from support.paths import ROOT
from support.service import MNIST, MNIST_BATCH, ZOO, encode, images, problem

from models.contract import MODEL_FILE, newest_version
from service.inference.occlusion import cover, draw_saliency
from service.prediction import Prediction
from service.runtime.session import OnnxClassifier


def read(url):
    """Return the pixels of a data URL."""
    prefix, content = url.split(",")
    assert prefix == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_cover_covers_every_pixel_one_patch_per_copy():
    pixels = np.full((28, 28), 200, np.uint8)
    copies = np.stack(cover(pixels))
    assert (copies.shape, copies.dtype) == ((49, 28, 28), np.uint8)
    covered = copies == 0
    assert covered.any(axis=0).all()
    assert set(covered.sum(axis=(1, 2))) == {49}
    assert (pixels == 200).all()


def test_colour_image_is_covered_with_its_mean():
    pixels = np.zeros((32, 24, 3), np.uint8)
    pixels[:16] = (200, 100, 50)
    first = cover(pixels)[0]
    assert first[0, 0].tolist() == [100, 50, 25]
    assert np.array_equal(first[8:], pixels[8:])


@pytest.mark.parametrize("shape", [(1, 1), (5, 3, 3), (7, 7), (224, 160, 3)])
def test_image_of_any_size_is_covered(shape):
    copies = cover(np.full(shape, 9, np.uint8))
    whole = Prediction([0.5, 0.5])
    assert read(draw_saliency(np.zeros(shape, np.uint8), whole, [whole] * len(copies))).shape == shape[:2]


def test_saliency_is_white_at_the_largest_probability_drop():
    pixels, whole = np.zeros((28, 28), np.uint8), Prediction([0.1, 0.9])
    covered = [whole] * 49
    covered[0], covered[48] = Prediction([0.9, 0.1]), Prediction([0.4, 0.6])
    covered[24] = Prediction([0.01, 0.99])  # covering it raises the probability
    saliency = read(draw_saliency(pixels, whole, covered))
    assert saliency[0, 0] == 255
    assert saliency[27, 27] == round(255 * math.log(0.9 / 0.6) / math.log(0.9 / 0.1))
    assert (saliency[8:20, 8:20] == 0).all()


def test_saliency_is_black_when_no_patch_changes_the_prediction():
    whole = Prediction([0.0, 1.0])
    assert not read(draw_saliency(np.zeros((28, 28), np.uint8), whole, [whole] * 49)).any()


def test_saliency_is_black_when_only_rounding_differs():
    whole, covered = Prediction([0.3, 0.7]), [Prediction([0.3, 0.7 - 6e-8 * (number % 2)]) for number in range(49)]
    assert not read(draw_saliency(np.zeros((28, 28), np.uint8), whole, covered)).any()


def test_saliency_of_real_digits_is_on_the_ink():
    path = newest_version(ROOT / "models" / "mnist") / MODEL_FILE
    classifier = OnnxClassifier(path, device="cpu", threads=1)
    with np.load(ROOT / "tests" / "data" / "mnist-test-500.npz") as sample:
        digits = sample["images"][:50]
    shares, empty_corners = [], 0
    for pixels in digits:
        whole, *covered = classifier.run(np.stack([pixels, *cover(pixels)]))
        saliency = read(draw_saliency(pixels, whole, covered)).astype(float)
        assert saliency.max() == 255
        for rows, columns in itertools.product((slice(7), slice(-7, None)), repeat=2):
            if not pixels[rows, columns].any():
                corner = saliency[rows, columns][0 if rows.stop else -1, 0 if columns.stop else -1]
                assert corner == 0
                empty_corners += 1
        rows, columns = pixels.any(axis=1).nonzero()[0], pixels.any(axis=0).nonzero()[0]
        inside = saliency[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        shares.append(inside.sum() / saliency.sum())
    assert np.mean(shares) > 0.8
    assert empty_corners > 150


def test_response_has_the_saliency_when_requested(service, digit_png):
    plain, explained = (service.post(f"{MNIST}{query}", content=digit_png).json() for query in ("", "?explain=true"))
    assert list(explained) == [*plain, "saliency"]
    saliency = read(explained.pop("saliency"))
    assert (saliency.shape, saliency.max()) == ((28, 28), 255)
    assert explained["label"] == plain["label"]
    assert explained["confidence"] == pytest.approx(plain["confidence"], abs=1e-6)
    assert service.post(f"{MNIST}?explain=false&top=1", content=digit_png).json()["probabilities"].keys() == {
        plain["label"]
    }


def test_saliency_is_computed_in_parts_when_the_queue_is_short(start, service, digit_png):
    short, long = (one.post(f"{MNIST}?explain=true", content=digit_png) for one in (start(max_queue=3), service))
    assert short.status_code == 200
    difference = read(short.json()["saliency"]).astype(int) - read(long.json()["saliency"])
    assert np.abs(difference).max() <= 1  # rounding depends on the batch size


def test_saliency_of_a_colour_model_has_its_image_size(service):
    photo = encode(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8))
    assert read(service.post(f"{ZOO}?explain=true", content=photo).json()["saliency"]).shape == (16, 24)


def test_response_has_the_model_input_when_requested(service, digit_png, digit_pixels):
    prediction = service.post(f"{MNIST}?pixels=true&explain=true", content=digit_png).json()
    assert list(prediction)[-2:] == ["saliency", "pixels"]
    assert np.array_equal(read(prediction["pixels"]), digit_pixels)
    photo = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    assert np.array_equal(read(service.post(f"{ZOO}?pixels=true", content=encode(photo)).json()["pixels"]), photo)
    assert "pixels" not in service.post(f"{ZOO}?pixels=false", content=encode(photo)).json()


@pytest.mark.parametrize("name", ["explain", "pixels"])
def test_invalid_flags_and_flags_of_batches_are_rejected(service, digit_png, name):
    refused = [service.post(f"{MNIST}?{name}={value}", content=digit_png) for value in ("", "1", "yes", "%F0")]
    refused.append(service.post(f"{MNIST_BATCH}?{name}=true", **images(digit_png)))
    assert [problem(response) for response in refused] == [(400, "bad_request")] * 5
    assert refused[-1].json()["detail"] == f"unsupported query parameter '{name}', expected top"
