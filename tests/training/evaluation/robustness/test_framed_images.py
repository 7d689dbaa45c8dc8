"""Tests of the framings: preparation, accuracy and reproducibility."""

import numpy as np
import pytest
from support.paths import ROOT
from support.samples import SAMPLES, split

from models.contract import MODEL_FILE, newest_version
from models.preparation.preparer import draft_side
from service.images.decoder import decode_picture, open_image
from training.evaluation.robustness.classification import classify_pictures
from training.evaluation.robustness.digit_framings import DIGIT_FRAMINGS
from training.evaluation.robustness.framed_images import FRAMINGS, frame, frame_all, make_examples, sample_images
from training.evaluation.robustness.surroundings import CONTROL, KINDS
from training.export.onnx_file import predict_onnx
from training.recipes.zoo import ZOO

MIN_ACCURACY = {"mnist": 0.9, "cifar10": 0.8}  # minimum accuracy per framing
ROWS = [(name, title) for name in SAMPLES for title in FRAMINGS[ZOO[name].preparation] if title not in KINDS]


def graph(name):
    return newest_version(ROOT / "models" / name) / MODEL_FILE


def decoded_by_service(name, file):
    """Return the picture that the service decodes from a file."""
    side = draft_side(ZOO[name].preparation, tuple(split(name).images.shape[1:]))
    return decode_picture(open_image(file, max_pixels=50_000_000), draft_side=side)


@pytest.mark.parametrize("name", SAMPLES)
def test_framed_images_are_decoded_as_by_the_service(name):
    images, _ = sample_images(split(name), 3)
    kinds = dict(frame_all(ZOO[name].preparation, images))
    assert list(kinds) == list(FRAMINGS[ZOO[name].preparation])
    for title, pictures in kinds.items():
        files = frame(FRAMINGS[ZOO[name].preparation][title], images, title)
        for picture, file in zip(pictures, files, strict=True):
            found, expected = picture(), decoded_by_service(name, file)
            assert found.mode == expected.mode, title
            assert np.array_equal(np.asarray(found), np.asarray(expected)), title


@pytest.mark.parametrize(("name", "title"), ROWS)
def test_framed_images_are_classified_correctly(name, title):
    images, labels = sample_images(split(name), 40)
    files = frame(FRAMINGS[ZOO[name].preparation][title], images, title)
    pictures = [decoded_by_service(name, file).copy for file in files]
    found = classify_pictures({"": graph(name)}, pictures, ZOO[name].preparation, images.shape[1:])[""]
    assert (found.probabilities.argmax(axis=1) == labels).mean() >= MIN_ACCURACY[name]


def test_frame_is_reproducible():
    first, second = (sample_images(split("mnist"), 5) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    page = "page: dark ink, uneven tinted paper, JPEG"
    assert frame(DIGIT_FRAMINGS[page], first[0], page) == frame(DIGIT_FRAMINGS[page], second[0], page)
    assert frame(DIGIT_FRAMINGS[page], first[0], page) != frame(DIGIT_FRAMINGS[page], first[0], "another row")


@pytest.mark.parametrize("name", SAMPLES)
def test_make_examples_yields_pixels_and_prediction(name):
    model, framings = ZOO[name], FRAMINGS[ZOO[name].preparation]
    images, _ = sample_images(split(name), sum(not title.endswith(CONTROL) for title in framings))
    examples = list(make_examples(graph(name), model.preparation, split(name), model.class_names))
    assert [example.title for example in examples] == [title for title in framings if not title.endswith(CONTROL)]
    for image, example in zip(images, examples, strict=True):
        (file,) = frame(framings[example.title], image[None], example.title)
        assert np.array_equal(np.asarray(example.picture), np.asarray(decoded_by_service(name, file)))
        assert example.pixels.shape == image.shape
        best = int(predict_onnx(graph(name), example.pixels[None]).argmax())
        assert example.prediction.startswith(f"{model.class_names[best]} ")
