"""What a CNN looks for: its first layer's filters and an image's feature maps, read from the served graph."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

from training.errors import TrainingError
from training.reporting.plots import new_figure, save_figure

COLUMNS = 12  # panels in a row
MAPS = COLUMNS - 1  # beside the image

Filters = NDArray[np.float32]  # (filters, channels, height, width)
FeatureMaps = NDArray[np.float32]  # (channels, height, width)


class NoConvolutionError(TrainingError):
    """The graph has no convolution."""


def read_filters(graph: Path) -> Filters:
    """Return the weights of a graph's first convolution.

    Raises:
        NoConvolutionError: it has none.
    """
    model = onnx.load(graph)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv":
            return numpy_helper.to_array(weights[node.input[1]]).astype(np.float32)
    raise NoConvolutionError(f"{graph} has no convolution, and so neither filters nor feature maps")


def compute_feature_maps(graph: Path, image: NDArray[np.uint8]) -> list[FeatureMaps]:
    """Run a graph on one image and return what it makes of it: after the last ReLU of each size, in order.

    Args:
        graph: as the service runs it; its rectified outputs are asked for besides its own.
        image: (H, W) or (H, W, 3), as the graph takes it.
    """
    model = onnx.load(graph)
    names = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(names, {"images": image[np.newaxis]})
    return list({output.shape[2:]: output[0] for output in outputs if output.ndim == 4}.values())  # N, C, H, W


def draw_filters(path: Path, filters: Filters) -> None:
    """Draw filters: in colour if they see three channels, else blue where they subtract and red where they add."""
    figure, panels = new_figure(
        12, 1.1 * -(-len(filters) // COLUMNS), rows=-(-len(filters) // COLUMNS), columns=COLUMNS
    )
    for panel in panels:
        panel.axis("off")
    for panel, weights in zip(panels, filters, strict=False):
        reach = np.abs(weights).max()
        if len(weights) == 3:  # red, green, blue
            panel.imshow(weights.transpose(1, 2, 0) / reach / 2 + 0.5)
        else:
            panel.imshow(weights[0], cmap="RdBu_r", vmin=-reach, vmax=reach)
    save_figure(figure, path)


def draw_feature_maps(path: Path, graph: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Draw images, beside each the feature maps that vary most in it: a row a size."""
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
