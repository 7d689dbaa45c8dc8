"""Tests of the framings: preparation, accuracy and reproducibility."""

import numpy as np
import pytest
from support.paths import ROOT
from support.samples import SAMPLES, split

from models.contract import MODEL_FILE, newest_version
from models.preparation.preparer import draft_side, preparer
from service.images.decoder import decode_picture, open_image
from training.evaluation.robustness.digit_framings import DIGIT_FRAMINGS
from training.evaluation.robustness.framed_images import FRAMINGS, frame, make_examples, prepare_framed, sample_images
from training.export.onnx_file import predict_onnx
from training.recipes.zoo import ZOO

MIN_ACCURACY = {"mnist": 0.9, "cifar10": 0.8}  # minimum accuracy per framing
ROWS = [(name, title) for name in SAMPLES for title in FRAMINGS[ZOO[name].preparation]]


def graph(name):
    return newest_version(ROOT / "models" / name) / MODEL_FILE


def prepared_by_service(name, file):
    """Return the pixels that the service prepares from a file."""
    preparation, shape = ZOO[name].preparation, tuple(split(name).images.shape[1:])
    picture = decode_picture(open_image(file, max_pixels=50_000_000), draft_side=draft_side(preparation, shape))
    return preparer(preparation, shape)(picture)


@pytest.mark.parametrize("name", SAMPLES)
def test_framed_images_are_prepared_as_by_the_service(name):
    images, _ = sample_images(split(name), 3)
    kinds = dict(prepare_framed(ZOO[name].preparation, images))
    assert list(kinds) == list(FRAMINGS[ZOO[name].preparation])
    for title, pixels in kinds.items():
        files = frame(FRAMINGS[ZOO[name].preparation][title], images, title)
        assert np.array_equal(pixels, np.stack([prepared_by_service(name, file) for file in files])), title


@pytest.mark.parametrize(("name", "title"), ROWS)
def test_framed_images_are_classified_correctly(name, title):
    images, labels = sample_images(split(name), 40)
    files = frame(FRAMINGS[ZOO[name].preparation][title], images, title)
    predictions = predict_onnx(graph(name), np.stack([prepared_by_service(name, file) for file in files])).argmax(
        axis=1
    )
    assert (predictions == labels).mean() >= MIN_ACCURACY[name]


def test_frame_is_reproducible():
    first, second = (sample_images(split("mnist"), 5) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    page = "page: dark ink, uneven tinted paper, JPEG"
    assert frame(DIGIT_FRAMINGS[page], first[0], page) == frame(DIGIT_FRAMINGS[page], second[0], page)
    assert frame(DIGIT_FRAMINGS[page], first[0], page) != frame(DIGIT_FRAMINGS[page], first[0], "another row")


@pytest.mark.parametrize("name", SAMPLES)
def test_make_examples_yields_pixels_and_prediction(name):
    model, framings = ZOO[name], FRAMINGS[ZOO[name].preparation]
    images, _ = sample_images(split(name), len(framings))
    examples = list(make_examples(graph(name), model.preparation, split(name), model.class_names))
    assert [example.title for example in examples] == list(framings)
    for image, example in zip(images, examples, strict=True):
        (file,) = frame(framings[example.title], image[None], example.title)
        assert np.array_equal(example.pixels, prepared_by_service(name, file))
        best = int(predict_onnx(graph(name), example.pixels[None]).argmax())
        assert example.prediction.startswith(f"{model.class_names[best]} ")
