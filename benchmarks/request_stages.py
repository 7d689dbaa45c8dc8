"""Time per request of preparation, familiarity and explanation on one core."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.images import DIGIT, PHOTO, make_photograph
from benchmarks.measurements import Measurement, RunOptions
from benchmarks.servers import newest_file
from models.preparation.digit import digit, is_mnist, other_framings
from models.preparation.photo import photo
from models.preparation.preparer import draft_side
from service.images.decoder import decode_picture, open_image
from service.inference.occlusion import cover, draw_saliency
from service.runtime.session import OnnxClassifier
from training.export.familiarity import remove_familiarity
from training.onnx_session import open_session

CANVAS = 280  # side in pixels, as the drawing page sends it
SIDE = 32
BATCH_SIZES = (1, 64)
MAX_PIXELS = 12_000_000


def measure_stages(options: RunOptions) -> list[Measurement]:
    """Time preparation, familiarity and explanation."""
    shares = [
        time_familiarity(name, batch_size, options) for name in ("mnist", "cifar10") for batch_size in BATCH_SIZES
    ]
    return [*time_preparation(options), *shares, *(time_explanation(graph, options) for graph in ("int8", "float32"))]


def time_preparation(options: RunOptions) -> list[Measurement]:
    """Time the preparation of a drawn digit, its parts, and that of a 12-megapixel photograph."""
    native = np.asarray(Image.open(DIGIT))
    canvas = Image.fromarray(native).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    framed = ImageOps.expand(canvas, border=CANVAS // 10, fill=255)
    jpeg, side = make_photograph(), draft_side("photo", (SIDE, SIDE, 3))

    def decode() -> Image.Image:
        return decode_picture(open_image(jpeg, max_pixels=MAX_PIXELS), draft_side=side)

    decoded = decode()
    drawn, again, checked, shares = [], [], [], []
    for _ in range(options.repeats):
        drawn += seconds_of(lambda: digit(canvas), seconds=options.seconds / 4)
        again += seconds_of(lambda: other_framings(framed), seconds=options.seconds / 4)
        checked += seconds_of(lambda: is_mnist(native), seconds=options.seconds / 4)
        decoding, preparing = seconds_of(decode, lambda: photo(decoded, (SIDE, SIDE)), seconds=options.seconds / 4)
        shares.append(preparing / decoding)
    return [
        Measurement(
            name=f"preparation of a digit of {CANVAS} x {CANVAS} pixels",
            values=[seconds * 1e3 for seconds in drawn],
            target=1,
            unit="ms",
        ),
        Measurement(
            name=f"other framings of a digit of {CANVAS} x {CANVAS} pixels in a white frame",
            values=[seconds * 1e3 for seconds in again],
            unit="ms",
        ),
        Measurement(
            name="check that an image has MNIST's framing", values=[seconds * 1e6 for seconds in checked], unit="µs"
        ),
        Measurement(
            name="preparation of a 12-megapixel JPEG for cifar10, relative to its decoding", values=shares, target=1
        ),
    ]


def time_familiarity(name: str, batch_size: int, options: RunOptions) -> Measurement:
    """Time the int8 graph with and without familiarity; difference in per cent."""
    path, values = newest_file(name, "int8"), []
    whole = open_session(path, threads=1)
    without = open_session(without_familiarity(path), threads=1)
    batch = {"images": np.stack([image_of(name)] * batch_size)}
    for _ in range(options.repeats):
        with_it, plain = seconds_of(
            lambda: whole.run(None, batch), lambda: without.run(None, batch), seconds=options.seconds / 4
        )
        values.append(100 * (with_it - plain) / plain)
    title = f"inference time added by familiarity, {name}, batch size {batch_size}"
    return Measurement(name=title, values=values, target=5, unit="%")


def time_explanation(precision: str, options: RunOptions) -> Measurement:
    """Time the explanation of a cifar10 prediction."""
    classifier = OnnxClassifier(newest_file("cifar10", precision), device="cpu", threads=1)
    pixels = image_of("cifar10")

    def explain() -> None:
        whole, *covered = classifier.run(np.stack([pixels, *cover(pixels)]))
        draw_saliency(pixels, whole, covered)

    values = [seconds_of(explain, seconds=options.seconds / 4)[0] * 1e3 for _ in range(options.repeats)]
    target = 50 if precision == "int8" else None  # the service uses int8 on a CPU
    return Measurement(
        name=f"explanation of a cifar10 prediction, {precision}", values=values, target=target, unit="ms"
    )


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
