"""Plots of a CNN's first-layer filters and feature maps, from the served graph."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from training.errors import TrainingError
from training.onnx_session import open_session
from training.reporting.plots import new_figure, save_figure

COLUMNS = 12  # panels per row
MAPS = COLUMNS - 1  # next to the image

Filters = NDArray[np.float32]  # (filters, channels, height, width)
FeatureMaps = NDArray[np.float32]  # (channels, height, width)


class NoConvolutionError(TrainingError):
    """The graph has no convolution."""


def read_filters(graph: Path) -> Filters:
    """Return the weights of a graph's first convolution.

    Raises:
        NoConvolutionError: the graph has no convolution.
    """
    model = onnx.load(graph)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv":
            return numpy_helper.to_array(weights[node.input[1]]).astype(np.float32)
    raise NoConvolutionError(f"{graph} has no convolution, so it has no filters and no feature maps")


def compute_feature_maps(graph: Path, image: NDArray[np.uint8]) -> list[FeatureMaps]:
    """Return an image's feature maps after the last ReLU of each spatial size.

    Args:
        graph: ONNX file as the service runs it.
        image: (H, W) or (H, W, 3), at the graph's size.
    """
    model = onnx.load(graph)
    names = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = open_session(model.SerializeToString())
    outputs = session.run(names, {"images": image[np.newaxis]})
    return list({output.shape[2:]: output[0] for output in outputs if output.ndim == 4}.values())  # N, C, H, W


def draw_filters(path: Path, filters: Filters) -> None:
    """Plot filters: RGB for three channels, else blue below and red above zero."""
    figure, panels = new_figure(
        12, 1.1 * -(-len(filters) // COLUMNS), rows=-(-len(filters) // COLUMNS), columns=COLUMNS
    )
    for panel in panels:
        panel.axis("off")
    for panel, weights in zip(panels, filters, strict=False):
        largest = np.abs(weights).max()
        if len(weights) == 3:  # red, green, blue
            panel.imshow(weights.transpose(1, 2, 0) / largest / 2 + 0.5)
        else:
            panel.imshow(weights[0], cmap="RdBu_r", vmin=-largest, vmax=largest)
    save_figure(figure, path)


def draw_feature_maps(path: Path, graph: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Plot images and their feature maps of highest variance, one row per size."""
    levels = [(image, maps) for image in images for maps in compute_feature_maps(graph, image)]
    figure, panels = new_figure(12, 1.1 * len(levels), rows=len(levels), columns=COLUMNS)
    for panel in panels:
        panel.axis("off")
    for row, (image, maps) in enumerate(levels):
        shown = panels[row * COLUMNS : (row + 1) * COLUMNS]
        shown[0].imshow(image, cmap="gray", vmin=0, vmax=255)
        most_varied = maps.std(axis=(1, 2)).argsort()[::-1][:MAPS]
        for panel, channel in zip(shown[1:], sorted(most_varied), strict=False):
            panel.imshow(maps[channel], cmap="magma")
            panel.set_title(f"{channel} of {len(maps)}", fontsize=7)
    save_figure(figure, path)
