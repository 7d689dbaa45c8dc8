"""How well a model reads test images in pictures as people send them, which no training saw."""

import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from models.card import Preparation
from models.modes import plain
from models.preparation import preparer
from training.data import Split
from training.export import predict_onnx
from training.figures import Example
from training.framed_digits import DIGITS
from training.framed_photos import PHOTOS
from training.framing import Framing, Framings

COUNT, SHARE = 1000, 0.1  # of the test images, framed in each way: whichever is less

FRAMINGS: Mapping[Preparation, Framings] = {"digit": DIGITS, "photo": PHOTOS}

Images = NDArray[np.uint8]


def count_framed(num_images: int) -> int:
    """Return how many images of a test split are framed in each way."""
    return max(1, min(COUNT, round(SHARE * num_images)))


def choose(test: Split, count: int) -> tuple[Images, NDArray[np.int64]]:
    """Return so many images of the test split and their labels, always the same."""
    chosen = np.random.default_rng(0).permutation(len(test))[:count]
    return test.images.cpu().numpy()[chosen], test.labels.cpu().numpy()[chosen]


def frame(framing: Framing, images: Images, title: str) -> list[bytes]:
    """Frame every image, as encoded files; each way from a seed of its own."""
    random = np.random.default_rng(zlib.crc32(title.encode()))
    return [framing(image, random) for image in images]


def measure_robustness(path: Path, preparation: Preparation, test: Split) -> dict[str, float]:
    """Return the share that is read, 0..1, of test images framed in each way.

    Args:
        path: of the ONNX file.
        preparation: by which the model gets its pixels.
        test: the test split.
    """
    images, labels = choose(test, count_framed(len(test)))
    prepare = preparer(preparation, images.shape[1:])
    found = {}
    framings = tqdm(FRAMINGS[preparation].items(), desc="pictures as people send them", unit="kind", leave=False)
    for title, framing in framings:
        pixels = np.stack([prepare(_open(file)) for file in frame(framing, images, title)])
        found[title] = round(float((predict_onnx(path, pixels).argmax(axis=1) == labels).mean()), 4)
    return found


def show_framings(path: Path, preparation: Preparation, test: Split, class_names: Sequence[str]) -> Iterator[Example]:
    """Yield an example of each way to frame a test image, with the answer of the ONNX file at ``path``."""
    images, _ = choose(test, len(FRAMINGS[preparation]))
    prepare = preparer(preparation, images.shape[1:])
    for index, (title, framing) in enumerate(FRAMINGS[preparation].items()):
        (file,) = frame(framing, images[index % len(images)][None], title)
        picture = _open(file)
        pixels = prepare(picture)
        probabilities = predict_onnx(path, pixels[None])[0]
        best = int(probabilities.argmax())
        answer = f"{class_names[best]} {probabilities[best]:.0%}"
        yield Example(title=title, picture=picture, pixels=pixels, answer=answer)


def _open(file: bytes) -> Image.Image:
    """Decode a file of our own making."""
    return plain(ImageOps.exif_transpose(Image.open(io.BytesIO(file))))
