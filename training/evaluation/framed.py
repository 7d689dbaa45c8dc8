"""Test images in pictures as people send them, which no training saw, and the pixels that the model gets of them."""

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
from training.evaluation.framed_digits import DIGITS
from training.evaluation.framed_photos import PHOTOS
from training.evaluation.framing import Framing, Framings
from training.export.onnx_file import predict_onnx

FRAMINGS: Mapping[Preparation, Framings] = {"digit": DIGITS, "photo": PHOTOS}

Images = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture, what a model got of it, and its answer."""

    title: str
    picture: Image.Image
    pixels: NDArray[np.uint8]
    answer: str


def choose(test: Split, count: int) -> tuple[Images, NDArray[np.int64]]:
    """Return so many images of the test split and their labels, always the same."""
    chosen = np.random.default_rng(0).permutation(len(test))[:count]
    return test.images.cpu().numpy()[chosen], test.labels.cpu().numpy()[chosen]


def frame(framing: Framing, images: Images, title: str) -> list[bytes]:
    """Frame every image, as encoded files; each way from a seed of its own."""
    random = np.random.default_rng(zlib.crc32(title.encode()))
    return [framing(image, random) for image in images]


def framed(preparation: Preparation, images: Images) -> Iterator[tuple[str, Images]]:
    """Yield each way to frame images, and what the model gets of them: (N, ...) uint8 -> the same shape."""
    see = _see(preparation, images.shape[1:])
    for title, framing in FRAMINGS[preparation].items():
        yield title, np.stack([see(file)[1] for file in frame(framing, images, title)])


def show_framed(path: Path, preparation: Preparation, test: Split, class_names: Sequence[str]) -> Iterator[Example]:
    """Yield an example of each way to frame a test image, with the answer of the ONNX file at ``path``."""
    images, _ = choose(test, len(FRAMINGS[preparation]))
    see = _see(preparation, images.shape[1:])
    for index, (title, framing) in enumerate(FRAMINGS[preparation].items()):
        (file,) = frame(framing, images[index % len(images)][None], title)
        picture, pixels = see(file)
        probabilities = predict_onnx(path, pixels[None])[0]
        best = int(probabilities.argmax())
        answer = f"{class_names[best]} {probabilities[best]:.0%}"
        yield Example(title=title, picture=picture, pixels=pixels, answer=answer)


def _see(preparation: Preparation, image_shape: tuple[int, ...]) -> Callable[[bytes], tuple[Image.Image, Images]]:
    """Return what makes a file of our own making a picture and pixels, as the service does."""
    prepare, side = preparer(preparation, image_shape), draft_side(preparation, image_shape)

    def see(file: bytes) -> tuple[Image.Image, Images]:
        picture = open_picture(io.BytesIO(file), draft_side=side)
        return picture, prepare(picture)

    return see
