"""The source's own probabilities, to find the kind of its output and to check the adopted file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import GOLDEN_TOLERANCE
from training.adoption.facts import InputFormat, Output
from training.adoption.half import has_half
from training.adoption.source import AdoptionError, Source
from training.onnx_session import open_session

NUM_IMAGES = 16
COARSE_SIDE = 8  # pixels; the random images are smooth, as pictures are
SUM_TOLERANCE = 0.01  # of rows of probabilities in half precision
HALF_TOLERANCE = 0.002  # the source rounds logits to half precision, by up to 0.004; the adopted file does not
BATCH_SIZES = (1, 3, NUM_IMAGES)


def random_images(image_shape: tuple[int, ...], *, count: int = NUM_IMAGES) -> NDArray[np.uint8]:
    """Return reproducible smooth images: (N, H, W) or (N, H, W, 3)."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, COARSE_SIDE, COARSE_SIDE, *image_shape[2:]), np.uint8)
    size = (image_shape[1], image_shape[0])
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in coarse])


def run_source(source: Source, image: InputFormat, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Normalize images as torchvision does and run the source: (N, H, W) or (N, H, W, 3) uint8 -> (N, K)."""
    inputs: NDArray[Any] = images[..., None] if image.channels == 1 else images
    if image.dtype != "uint8":
        inputs = inputs.astype(np.float32)
        if image.scale == 1:
            inputs = inputs / np.float32(255)
        inputs = (inputs - np.array(image.mean, np.float32)) / np.array(image.std, np.float32)
        inputs = inputs.astype(image.dtype)
    if image.layout == "nchw":
        inputs = inputs.transpose(0, 3, 1, 2)
    return source.run(inputs[..., 0] if image.layout == "nhw" else inputs)


def find_output(scores: NDArray[np.float32], stated: Output | None) -> tuple[Output, str]:
    """Return the kind of the source's output and the origin of this fact.

    Args:
        scores: outputs of random images, (N, K).
        stated: by the user.

    Raises:
        AdoptionError: the numbers are not finite, are the same for all images, contradict the user, or are
            probabilities of independent labels.
    """
    found = f"outputs of {len(scores)} random images"
    if not np.isfinite(scores).all():
        raise AdoptionError(f"the {found} are not finite; check --scale, --mean and --std")
    if not np.ptp(scores, axis=0).any():
        raise AdoptionError(f"the {found} are all the same; check --scale, --mean and --std, and the network's weights")
    is_unit = bool((scores >= 0).all() and (scores <= 1 + SUM_TOLERANCE).all())
    sums_to_one = is_unit and bool((np.abs(scores.sum(axis=1) - 1) <= SUM_TOLERANCE).all())
    if stated == "logits" and sums_to_one:
        raise AdoptionError(f"--output logits: the {found} sum to 1; use --output probabilities")
    if stated == "probabilities" and not sums_to_one:
        raise AdoptionError(f"--output probabilities: the {found} do not sum to 1; use --output logits")
    if stated is not None:
        return stated, f"--output; the {found} {'sum' if sums_to_one else 'do not sum'} to 1"
    if is_unit and not sums_to_one:
        raise AdoptionError(
            f"the {found} are from 0 to 1 but do not sum to 1; probabilities of independent labels (sigmoid) are not "
            "supported; if they are logits of one label, state it with --output logits"
        )
    return (
        ("probabilities", f"{found}, which sum to 1") if sums_to_one else ("logits", f"{found}, which do not sum to 1")
    )


def to_probabilities(scores: NDArray[np.float32], output: Output) -> NDArray[np.float32]:
    """Return class probabilities of the source's outputs: (N, K) -> (N, K)."""
    if output == "probabilities":
        return scores
    powers = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def largest_difference(path: Path, images: NDArray[np.uint8], expected: NDArray[np.float32]) -> float:
    """Return the largest difference of a probability between a file and the source, over several batch sizes."""
    session = open_session(path, silent=True)
    found = [session.run(["probabilities"], {"images": images[:size]})[0] for size in BATCH_SIZES]
    if any(rows.shape != expected[: len(rows)].shape for rows in found):
        return float("inf")
    return max(float(np.abs(rows - expected[: len(rows)]).max()) for rows in found)


def is_equal(difference: float, source: Source) -> bool:
    """Return whether a file gives the probabilities of its source; NaN does not."""
    return difference <= (HALF_TOLERANCE if has_half(source.model) else GOLDEN_TOLERANCE["cpu"])
