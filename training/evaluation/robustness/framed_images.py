"""Test images in framings that training never used, prepared as in the service."""

import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import Preparation
from models.preparation.preparer import draft_side, preparer
from training.data.datasets import Split
from training.data.pictures import open_picture
from training.evaluation.robustness.digit_framings import DIGIT_FRAMINGS
from training.evaluation.robustness.framing import Framing, Framings
from training.evaluation.robustness.photo_framings import PHOTO_FRAMINGS
from training.export.onnx_file import predict_onnx

FRAMINGS: Mapping[Preparation, Framings] = {"digit": DIGIT_FRAMINGS, "photo": PHOTO_FRAMINGS}

Images = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture, the pixels that the model received, and its prediction."""

    title: str
    picture: Image.Image
    pixels: NDArray[np.uint8]
    prediction: str  # class and probability


def sample_images(test: Split, count: int) -> tuple[Images, NDArray[np.int64]]:
    """Return a fixed sample of ``count`` test images and their labels."""
    chosen = np.random.default_rng(0).permutation(len(test))[:count]
    return test.images.cpu().numpy()[chosen], test.labels.cpu().numpy()[chosen]


def frame(framing: Framing, images: Images, title: str) -> list[bytes]:
    """Return each image framed, as encoded files; ``title`` seeds the generator."""
    random = np.random.default_rng(zlib.crc32(title.encode()))
    return [framing(image, random) for image in images]


def prepare_framed(preparation: Preparation, images: Images) -> Iterator[tuple[str, Images]]:
    """Yield each framing's title and the prepared images, (N, ...) uint8."""
    prepare_file = _make_preparer(preparation, images.shape[1:])
    for title, framing in FRAMINGS[preparation].items():
        yield title, np.stack([prepare_file(file)[1] for file in frame(framing, images, title)])


def make_examples(path: Path, preparation: Preparation, test: Split, class_names: Sequence[str]) -> Iterator[Example]:
    """Yield one example per framing, with the prediction of the ONNX file."""
    images, _ = sample_images(test, len(FRAMINGS[preparation]))
    prepare_file = _make_preparer(preparation, images.shape[1:])
    for index, (title, framing) in enumerate(FRAMINGS[preparation].items()):
        (file,) = frame(framing, images[index % len(images)][None], title)
        picture, pixels = prepare_file(file)
        probabilities = predict_onnx(path, pixels[None])[0]
        best = int(probabilities.argmax())
        prediction = f"{class_names[best]} {probabilities[best]:.0%}"
        yield Example(title=title, picture=picture, pixels=pixels, prediction=prediction)


def _make_preparer(
    preparation: Preparation, image_shape: tuple[int, ...]
) -> Callable[[bytes], tuple[Image.Image, Images]]:
    """Return a function that decodes and prepares a trusted file as the service does."""
    prepare, side = preparer(preparation, image_shape), draft_side(preparation, image_shape)

    def prepare_file(file: bytes) -> tuple[Image.Image, Images]:
        picture = open_picture(io.BytesIO(file), draft_side=side)
        return picture, prepare(picture)

    return prepare_file
