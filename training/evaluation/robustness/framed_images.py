"""Test images in framings that training never used, prepared as in the service."""

import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import Preparation
from models.preparation.preparer import draft_side
from training.data.datasets import Split
from training.data.pictures import open_picture
from training.evaluation.robustness.classification import Picture, classify_pictures
from training.evaluation.robustness.digit_framings import DIGIT_FRAMINGS
from training.evaluation.robustness.framing import Framing, Framings
from training.evaluation.robustness.photo_framings import PHOTO_FRAMINGS
from training.evaluation.robustness.surroundings import CONTROL, SURROUNDINGS

FRAMINGS: Mapping[Preparation, Framings] = {"digit": {**DIGIT_FRAMINGS, **SURROUNDINGS}, "photo": PHOTO_FRAMINGS}

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
    """Return each image framed, as encoded files; ``title`` seeds the generator, and a control has the same seed."""
    random = np.random.default_rng(zlib.crc32(title.removesuffix(CONTROL).encode()))
    return [framing(image, random) for image in images]


def frame_all(preparation: Preparation, images: Images) -> Iterator[tuple[str, Sequence[Picture]]]:
    """Yield each framing's title and the framed images."""
    side = draft_side(preparation, images.shape[1:])
    for title, framing in FRAMINGS[preparation].items():
        yield title, [partial(_decode, file, side) for file in frame(framing, images, title)]


def make_examples(path: Path, preparation: Preparation, test: Split, class_names: Sequence[str]) -> Iterator[Example]:
    """Yield one example per framing, with the prediction of the ONNX file; controls have none."""
    framings = {title: framing for title, framing in FRAMINGS[preparation].items() if not title.endswith(CONTROL)}
    images, _ = sample_images(test, len(framings))
    image_shape = images.shape[1:]
    for index, (title, framing) in enumerate(framings.items()):
        (file,) = frame(framing, images[index % len(images)][None], title)
        picture = _decode(file, draft_side(preparation, image_shape))
        found = classify_pictures({"": path}, [picture.copy], preparation, image_shape)[""]
        probabilities = found.probabilities[0]
        best = int(probabilities.argmax())
        prediction = f"{class_names[best]} {probabilities[best]:.0%}"
        yield Example(title=title, picture=picture, pixels=found.pixels[0], prediction=prediction)


def _decode(file: bytes, side: int | None) -> Image.Image:
    """Decode a trusted file as the service does."""
    return open_picture(io.BytesIO(file), draft_side=side)
