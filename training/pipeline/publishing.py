"""Publication of a version: checks in a hidden folder, then one atomic rename."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from models.card import Metrics, ModelCard, Precision
from models.contract import (
    EXACT_WEIGHT_BITS,
    FLOAT16_MODEL_FILE,
    GOLDEN_FILE,
    INT8_GOLDEN_FILE,
    INT8_MODEL_FILE,
    MODEL_FILE,
    newest_version,
)
from training.data.datasets import Split
from training.evaluation.gate import GateError, check_accuracy, check_golden, check_loss, write_golden
from training.evaluation.robustness.corrupted_images import measure_corruptions, write_corruptions
from training.evaluation.robustness.measurement import measure_robustness, write_robustness
from training.export.float16 import convert_to_float16
from training.export.onnx_file import CalibratedClassifier, ExportError, export_onnx, predict_onnx, write_card
from training.export.quantization import quantize
from training.metrics import measure
from training.pipeline.folders import writable_folder
from training.recipes.zoo import TrainableModel

NUM_GOLDEN = 256  # misses a fault that changes 3 % of the images with probability 0.0004


@dataclass(frozen=True, kw_only=True)
class StagedVersion:
    """An unpublished version in its hidden folder."""

    path: Path
    version: str

    @property
    def published_folder(self) -> Path:
        """The folder after publication."""
        return self.path.parent / self.version


def write_version(
    folder: Path,
    classifier: CalibratedClassifier,
    *,
    test: Split,
    min_accuracy: float,
    max_accuracy_loss: float,
    make_card: Callable[[Metrics], ModelCard],
    calibration: Tensor | None = None,
) -> ModelCard:
    """Write, check and measure a version's ONNX files; return the card.

    Args:
        folder: staged, see :func:`staged_version`.
        classifier: is moved to the CPU and to evaluation mode.
        test: used once, to measure the ONNX file.
        min_accuracy: of the ONNX file on ``test``, 0..1.
        max_accuracy_loss: of an int8 graph, against float32; 0..1.
        make_card: makes the model card from the measurements.
        calibration: training images for an int8 graph; None for no int8 graph.

    Raises:
        ExportError: the file is invalid or differs from PyTorch.
        GateError: the golden images differ, or the accuracy is too low.
    """
    images = test.images.cpu()
    export_onnx(classifier, folder / MODEL_FILE, images)
    metrics = _measure(folder / MODEL_FILE, test)
    check_accuracy(metrics, min_accuracy)
    card = make_card(metrics)
    write_card(folder / MODEL_FILE, card)
    with torch.inference_mode():
        expected = classifier(images[:NUM_GOLDEN])[0]
    write_golden(folder / GOLDEN_FILE, images[:NUM_GOLDEN].numpy(), expected.numpy())
    check_golden(folder / MODEL_FILE)
    if calibration is not None:
        add_int8(folder, card, calibration, test, max_accuracy_loss=max_accuracy_loss)
    return card


@contextmanager
def staged_version(model_folder: Path) -> Iterator[StagedVersion]:
    """Yield a hidden folder that becomes the next version unless an exception occurs.

    Raises:
        FolderError: ``model_folder`` cannot be written to.
        GateError: another process published the version first.
    """
    with writable_folder(model_folder, option="--out"):
        version = _next_version(model_folder)
        staged = StagedVersion(path=Path(tempfile.mkdtemp(prefix=f".{version}-", dir=model_folder)), version=version)
        try:
            yield staged
            staged.path.chmod(0o755)  # mkdtemp gives access to the owner only
            _rename(staged.path, staged.published_folder)
        except BaseException:
            shutil.rmtree(staged.path, ignore_errors=True)
            raise


def measure_version(folder: Path, model: TrainableModel, test: Split, data_dir: Path) -> None:
    """Measure a version in other framings, under corruption and on unrelated images; write the results into its folder.

    Args:
        folder: of the version.
        model: the definition of the version's model.
        test: the test split.
        data_dir: folder of the data sets, for images of another one.
    """
    write_robustness(folder, measure_robustness(folder, model, test, data_dir))
    write_corruptions(folder, measure_corruptions(folder, model, test))


def _next_version(model_folder: Path) -> str:
    newest = newest_version(model_folder)
    return str(int(newest.name) + 1) if newest else "1"


def add_float16(folder: Path, card: ModelCard, test: Split, *, max_accuracy_loss: float) -> None:
    """Write the float16 graph of a complete version, or print why there is none.

    Args:
        folder: of the version, with its float32 graph and golden file.
        card: of the float32 graph.
        test: the test split.
        max_accuracy_loss: on the test split, against float32; 0..1.
    """
    path = folder / FLOAT16_MODEL_FILE
    with _optional_file(path):
        convert_to_float16(folder / MODEL_FILE, path)
        check_golden(path, "float16")
        _write_gated_card(path, card, test, precision="float16", max_accuracy_loss=max_accuracy_loss)


def add_int8(folder: Path, card: ModelCard, calibration: Tensor, test: Split, *, max_accuracy_loss: float) -> None:
    """Write a version's int8 graph and golden file, or print why there is none.

    Args:
        folder: of the version, with its float32 graph.
        card: of the float32 graph.
        calibration: uint8 training images, for the ranges of the activations.
        test: the test split.
        max_accuracy_loss: on the test split, against float32; 0..1.
    """
    path = folder / INT8_MODEL_FILE
    with _optional_file(path):
        quantize(folder / MODEL_FILE, path, calibration.cpu().numpy())
        _write_gated_card(path, card, test, precision="int8", max_accuracy_loss=max_accuracy_loss)
        golden = test.images[:NUM_GOLDEN].cpu().numpy()
        write_golden(folder / INT8_GOLDEN_FILE, golden, predict_onnx(path, golden))


@contextmanager
def _optional_file(path: Path) -> Iterator[None]:
    """Write an optional file: if it fails, print why and delete it."""
    try:
        yield
    except (ExportError, GateError) as error:
        path.unlink(missing_ok=True)
        tqdm.write(f"no {path.name}: {error}", file=sys.stderr)


def _write_gated_card(
    path: Path, card: ModelCard, test: Split, *, precision: Precision, max_accuracy_loss: float
) -> None:
    metrics = _measure(path, test)
    assert card.test is not None  # write_version measured the float32 graph
    check_loss(metrics, card.test, max_loss=max_accuracy_loss)
    weight_bits = EXACT_WEIGHT_BITS if precision == "int8" else None
    write_card(path, replace(card, test=metrics, precision=precision, weight_bits=weight_bits))


def _measure(path: Path, test: Split) -> Metrics:
    """Measure an ONNX file on every image of the test split."""
    return measure(predict_onnx(path, test.images.cpu().numpy()), test.labels.cpu().numpy())


def _rename(staging: Path, folder: Path) -> None:
    if folder.exists():
        raise GateError(f"{folder}: already published by another process; published versions never change; run again")
    staging.rename(folder)
