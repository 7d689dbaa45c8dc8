"""Export of a network to one ONNX file, checked and compared with PyTorch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.card import ModelCard
from training.errors import TrainingError
from training.export.calibration import Calibration
from training.export.folding import fold_batch_norms
from training.onnx_session import open_session

PARITY_BATCHES = (1, 2, 3, 7, 64)
PARITY_TOLERANCE = 1e-5
BATCH_SIZE = 256  # largest number of images per run


class ExportError(TrainingError):
    """The file is not valid ONNX, or its results differ from the network's."""


class CalibratedClassifier(nn.Module):
    """Network to export, with outputs probabilities and uncalibrated logits.

    Shape: (N, H, W) or (N, H, W, 3) uint8 -> (N, K) each.
    """

    def __init__(self, network: nn.Module, calibration: Calibration) -> None:
        super().__init__()
        self.network = network
        self.calibration = calibration

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Classify a batch."""
        logits = self.network(images)
        return self.calibration(logits), logits


def export_onnx(classifier: CalibratedClassifier, path: Path, images: Tensor) -> None:
    """Write the classifier to one file, check the file and compare it with PyTorch.

    Args:
        classifier: is moved to the CPU and switched to evaluation mode.
        path: new file.
        images: uint8 images for the comparison, in the model's input shape.

    Raises:
        ExportError: the file is not valid, is not self-contained, or gives other probabilities.
    """
    classifier.cpu().eval()
    images = images.cpu()
    torch.onnx.export(
        fold_batch_norms(classifier),
        (_repeat_images(images, 2),),  # an example of one image would fix the batch size to 1
        path,
        dynamo=True,
        input_names=["images"],
        output_names=["probabilities", "logits"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        external_data=False,
        verbose=False,
    )
    _remove_stack_traces(path)
    check_onnx(path)
    check_parity(path, classifier, images)


def write_card(path: Path, card: ModelCard) -> None:
    """Write the card into the file's metadata."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, card.to_metadata())
    onnx.save(model, path)
    check_onnx(path)


def check_onnx(path: Path) -> None:
    """Check the whole file.

    Raises:
        ExportError: the file is not valid ONNX, or stores weights in another file.
    """
    try:
        tensors = onnx.load(path, load_external_data=False).graph.initializer
        external = any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors)
        if not external:
            onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # the checker's and the parser's exceptions share no other base class
        raise ExportError(f"{path.name} is not valid ONNX: {error}") from error
    if external:
        raise ExportError(f"{path.name} keeps weights in another file; expected a single file")


def check_parity(path: Path, classifier: CalibratedClassifier, images: Tensor) -> None:
    """Compare the file with the classifier at several batch sizes.

    Raises:
        ExportError: a probability differs by more than the tolerance.
    """
    session = open_session(path)
    for batch_size in PARITY_BATCHES:
        batch = _repeat_images(images, batch_size)
        with torch.inference_mode():
            expected = classifier(batch)[0].numpy()
        found = session.run(["probabilities"], {"images": batch.numpy()})[0]
        difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
        if not difference <= PARITY_TOLERANCE:  # NaN fails too
            raise ExportError(
                f"{path.name} differs from PyTorch by {difference:.1e} at batch size {batch_size} "
                f"(limit {PARITY_TOLERANCE:.0e})"
            )


def predict_onnx(path: Path, images: NDArray[np.uint8], *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Compute the probabilities of N images: (N, ...) uint8 -> (N, K)."""
    (probabilities,) = run_onnx(path, ["probabilities"], images, batch_size=batch_size)
    return probabilities


def run_onnx(
    model: Path | bytes, outputs: Sequence[str], images: NDArray[np.uint8], *, batch_size: int = BATCH_SIZE
) -> list[NDArray[np.float32]]:
    """Compute outputs of a file, or of its content: (N, ...) -> (N, ...) each."""
    session = open_session(model)
    batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    found = [session.run(list(outputs), {"images": batch}) for batch in batches]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _remove_stack_traces(path: Path) -> None:
    """Remove the exporter's stack traces, which contain paths of this machine."""
    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    onnx.save(model, path)


def _repeat_images(images: Tensor, count: int) -> Tensor:
    return images[torch.arange(count) % len(images)]
