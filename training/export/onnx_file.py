"""From a network to one self-describing ONNX file: write, check, compare with PyTorch, or raise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.card import ModelCard
from training.errors import TrainingError
from training.export.calibration import Calibration
from training.export.folding import fold_batch_norms

PARITY_BATCHES = (1, 2, 3, 7, 64)
PARITY_TOLERANCE = 1e-5
BATCH = 256  # images that run at once where there are many


class ExportError(TrainingError):
    """The file is not valid ONNX, or computes something else than the network."""


class CalibratedClassifier(nn.Module):
    """What is exported: (N, H, W) or (N, H, W, 3) uint8 -> probabilities (N, K) and the logits before calibration."""

    def __init__(self, network: nn.Module, calibration: Calibration) -> None:
        super().__init__()
        self.network = network
        self.calibration = calibration

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Classify a batch."""
        logits = self.network(images)
        return self.calibration(logits), logits


def export_onnx(classifier: CalibratedClassifier, path: Path, images: Tensor) -> None:
    """Write the classifier, on the CPU and in evaluation mode, to one file; then check and compare it.

    Args:
        classifier: is moved to the CPU and to evaluation mode.
        path: of the new file.
        images: uint8 images as the model takes them, to compare on.

    Raises:
        ExportError: the file is not valid, not alone, or gives other probabilities than the classifier.
    """
    classifier.cpu().eval()
    images = images.cpu()
    torch.onnx.export(
        fold_batch_norms(classifier),
        (_cycle(images, 2),),  # an example of one image would freeze the batch to one
        path,
        dynamo=True,
        input_names=["images"],
        output_names=["probabilities", "logits"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        external_data=False,
        verbose=False,
    )
    _remove_traces(path)
    check_onnx(path)
    check_parity(path, classifier, images)


def write_card(path: Path, card: ModelCard) -> None:
    """Put the card into the file's metadata; the graph stays as it is."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, card.to_metadata())
    onnx.save(model, path)
    check_onnx(path)


def check_onnx(path: Path) -> None:
    """Check the file in full.

    Raises:
        ExportError: it is not valid ONNX, or keeps its weights elsewhere.
    """
    try:
        tensors = onnx.load(path, load_external_data=False).graph.initializer
        external = any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors)
        if not external:
            onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # the checker's and the parser's exceptions share no other base class
        raise ExportError(f"{path.name} is not valid ONNX: {error}") from error
    if external:
        raise ExportError(f"{path.name} keeps weights in another file; a model is one file")


def check_parity(path: Path, classifier: CalibratedClassifier, images: Tensor) -> None:
    """Compare the file with the classifier at several batch sizes.

    Raises:
        ExportError: a probability differs by more than the tolerance.
    """
    session = open_session(path)
    for batch_size in PARITY_BATCHES:
        batch = _cycle(images, batch_size)
        with torch.inference_mode():
            expected = classifier(batch)[0].numpy()
        found = session.run(["probabilities"], {"images": batch.numpy()})[0]
        difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
        if not difference <= PARITY_TOLERANCE:  # a NaN is no parity either
            raise ExportError(
                f"{path.name} differs from PyTorch by {difference:.1e} at batch {batch_size}; "
                f"at most {PARITY_TOLERANCE:.0e} is right"
            )


def predict_onnx(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a file over images of any number: (N, ...) uint8 -> probabilities (N, K)."""
    (probabilities,) = run_onnx(path, ["probabilities"], images)
    return probabilities


def run_onnx(model: Path | bytes, outputs: Sequence[str], images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Run a file, or its content, over images of any number: (N, ...) uint8 -> (N, ...) of each output."""
    session = open_session(model)
    batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    found = [session.run(list(outputs), {"images": batch}) for batch in batches]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def open_session(model: Path | bytes) -> ort.InferenceSession:
    """Open a file, or its content, on the CPU, the reference of every comparison."""
    return ort.InferenceSession(model, providers=["CPUExecutionProvider"])


def _remove_traces(path: Path) -> None:
    """Take out what the exporter notes of this machine: its paths, in a stack trace a node."""
    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    onnx.save(model, path)


def _cycle(images: Tensor, count: int) -> Tensor:
    return images[torch.arange(count) % len(images)]
