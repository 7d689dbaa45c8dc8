"""Classification of pictures by the graphs of a version, as in the service: with preparation and second look."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import Preparation
from models.contract import FAMILIARITY, FAMILIARITY_DECIMALS, FAMILIARITY_THRESHOLD
from models.preparation.preparer import preparer
from models.preparation.second_look import choose_framing, second_look
from training.export.onnx_file import run_onnx

Picture = Callable[[], Image.Image]  # decodes a picture, so that a kind with large pictures needs little memory


class Classified(NamedTuple):
    """The results of one graph for N pictures."""

    pixels: NDArray[np.uint8]  # (N, ...), prepared
    probabilities: NDArray[np.float32]  # (N, K)
    familiarity: NDArray[np.float32]  # (N,)


def classify_pictures(
    graphs: Mapping[str, Path], pictures: Sequence[Picture], preparation: Preparation, image_shape: tuple[int, ...]
) -> Mapping[str, Classified]:
    """Return the results of each graph, by precision."""
    prepare, other_framings = preparer(preparation, image_shape), second_look(preparation)
    pixels = np.stack([prepare(picture()) for picture in pictures])
    found = {precision: _run(path, pixels.copy()) for precision, path in graphs.items()}
    if other_framings is None:
        return found
    is_unfamiliar = np.any([results.familiarity < FAMILIARITY_THRESHOLD for results in found.values()], axis=0)
    others = {
        index: other_framings(pictures[index](), pixels[index]) for index in np.flatnonzero(is_unfamiliar).tolist()
    }
    counts = {index: len(framings) for index, framings in others.items() if len(framings)}
    if counts:
        stacked = np.concatenate([np.stack(others[index]) for index in counts])
        for precision, path in graphs.items():
            _use_other_framings(found[precision], counts, _run(path, stacked))
    return found


def _run(path: Path, pixels: NDArray[np.uint8]) -> Classified:
    probabilities, familiarity = run_onnx(path, ["probabilities", FAMILIARITY], pixels)
    return Classified(pixels, probabilities, familiarity.round(FAMILIARITY_DECIMALS))


def _use_other_framings(first: Classified, counts: Mapping[int, int], others: Classified) -> None:
    """Replace the results of unfamiliar pictures by those of a more familiar framing, in place.

    Args:
        first: results of the first framing of all pictures.
        counts: index of a picture -> number of its other framings, in the order of ``others``.
        others: results of the other framings.
    """
    start = 0
    for index, count in counts.items():
        familiarities = [first.familiarity[index], *others.familiarity[start : start + count]]
        if familiarities[0] < FAMILIARITY_THRESHOLD and (chosen := choose_framing(familiarities)):
            other = start + chosen - 1
            first.pixels[index] = others.pixels[other]
            first.probabilities[index] = others.probabilities[other]
            first.familiarity[index] = others.familiarity[other]
        start += count
