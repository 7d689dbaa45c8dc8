"""Time per request of preparation, familiarity and explanation on one core."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

from benchmarks.cost import DIGIT, PHOTO, Effort, photograph
from benchmarks.figures import Figure
from benchmarks.servers import newest_file
from models.preparation.digit import digit
from models.preparation.photo import photo
from models.preparation.preparer import draft_side
from service.images.decoder import open_image, read_picture
from service.inference.occlusion import cover, draw_saliency
from service.runtime.session import OnnxClassifier
from training.export.familiarity import remove_familiarity
from training.export.timing import open_on_one_core

CANVAS = 280  # side in pixels, as the drawing page sends it
SIDE = 32
MANY = 64  # images per batch
MAX_PIXELS = 12_000_000


def measure_work(effort: Effort) -> list[Figure]:
    """Time the parts of a request, and the share of familiarity in an inference."""
    shares = [time_familiarity(name, count, effort) for name in ("mnist", "cifar10") for count in (1, MANY)]
    return [*time_preparation(effort), *shares, *(time_explanation(graph, effort) for graph in ("int8", "float32"))]


def time_preparation(effort: Effort) -> list[Figure]:
    """Time the preparation of a drawn digit and of a 12-megapixel photograph."""
    canvas = Image.open(DIGIT).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    jpeg, side = photograph(), draft_side("photo", (SIDE, SIDE, 3))

    def decode() -> Image.Image:
        return read_picture(open_image(jpeg, max_pixels=MAX_PIXELS), draft_side=side)

    decoded = decode()
    drawn, shares = [], []
    for _ in range(effort.repeats):
        drawn += seconds_of(lambda: digit(canvas), seconds=effort.seconds / 4)
        decoding, preparing = seconds_of(decode, lambda: photo(decoded, (SIDE, SIDE)), seconds=effort.seconds / 4)
        shares.append(preparing / decoding)
    return [
        Figure(
            name=f"preparing a digit of {CANVAS} x {CANVAS} pixels",
            values=[seconds * 1e3 for seconds in drawn],
            target=1,
            unit="ms",
        ),
        Figure(name="preparing a 12-megapixel JPEG for cifar10, against decoding it", values=shares, target=1),
    ]


def time_familiarity(name: str, count: int, effort: Effort) -> Figure:
    """Time the int8 graph with and without familiarity; difference in per cent."""
    path, values = newest_file(name, "int8"), []
    whole = open_on_one_core(path)
    without = open_on_one_core(without_familiarity(path))
    batch = {"images": np.stack([image_of(name)] * count)}
    for _ in range(effort.repeats):
        with_it, plain = seconds_of(
            lambda: whole.run(None, batch), lambda: without.run(None, batch), seconds=effort.seconds / 4
        )
        values.append(100 * (with_it - plain) / plain)
    images = "an image alone" if count == 1 else f"{count} images"
    return Figure(name=f"familiarity, of the inference of {name}, {images}", values=values, target=5, unit="%")


def time_explanation(precision: str, effort: Effort) -> Figure:
    """Time the explanation of a cifar10 prediction."""
    classifier = OnnxClassifier(newest_file("cifar10", precision), device="cpu", threads=1)
    pixels = image_of("cifar10")

    def explain() -> None:
        whole, *covered = classifier.run(np.stack([pixels, *cover(pixels)]))
        draw_saliency(pixels, whole, covered)

    values = [seconds_of(explain, seconds=effort.seconds / 4)[0] * 1e3 for _ in range(effort.repeats)]
    target = 50 if precision == "int8" else None  # the service uses int8 on a CPU
    return Figure(name=f"explaining an answer of cifar10, {precision}", values=values, target=target, unit="ms")


def seconds_of(*functions: Callable[[], object], seconds: float) -> list[float]:
    """Return the median time per function; they take turns to share disturbances."""
    times: list[list[float]] = [[] for _ in functions]
    until = time.perf_counter() + seconds * len(functions)
    while not times[0] or time.perf_counter() < until:
        for function, found in zip(functions, times, strict=True):
            started = time.perf_counter()
            function()
            found.append(time.perf_counter() - started)
    return [statistics.median(found) for found in times]


def image_of(model: str) -> NDArray[np.uint8]:
    """Return an image of the model's test split."""
    return np.asarray(Image.open(DIGIT if model == "mnist" else PHOTO))


def without_familiarity(path: Path) -> bytes:
    """Return the content of a graph without the nodes of its familiarity."""
    model = onnx.load(path)
    remove_familiarity(model)
    return bytes(model.SerializeToString())
