"""One ONNX file in ONNX Runtime: uint8 images in, class probabilities out, checked against what PyTorch gave."""

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.card import ModelCard, ModelCardError
from models.contract import EXACT_WEIGHT_BITS, FAMILIARITY, FAMILIARITY_DECIMALS, GOLDEN_FILES, golden_tolerance
from service.prediction import Prediction
from service.runtime.cuda_binding import BoundBatch
from service.runtime.hardware import count_gpus

GOLDEN_BATCH = 16  # images at once in the golden check

Device = Literal["cpu", "cuda"]
Images = NDArray[np.uint8]  # (N, H, W) grey or (N, H, W, 3) colour
Probabilities = NDArray[np.float32]  # (N, K), rows sum to 1


class ModelLoadError(RuntimeError):
    """A model file cannot be served: unreadable, off the contract, or its answers are not those of its training."""


class DeviceError(RuntimeError):
    """ONNX Runtime fell back to the CPU where a GPU was demanded or planned."""


class OnnxClassifier:
    """A model in ONNX Runtime that keeps the contract: ``images`` in, ``probabilities``, maybe ``familiarity`` out."""

    def __init__(self, path: Path, *, device: Literal["auto", "cpu", "cuda"], threads: int, gpu: int = 0) -> None:
        """Load ``path`` on ``device`` with ``threads`` CPU threads.

        Raises:
            ModelLoadError: ONNX Runtime cannot load it, or it is not one of ours.
            DeviceError: ``device`` is ``cuda`` and cannot be had.
        """
        self.path, self.threads, self._gpu = path, threads, gpu
        self._providers = _providers(device, gpu)
        self._bound: dict[int, BoundBatch] = {}  # by size, on a GPU
        self._session, self.device = self._open(threads)
        self.card = self._read_card()
        if self.card.precision == "int8" and self.card.weight_bits != EXACT_WEIGHT_BITS:
            self._session, self.device = self._open(threads, exact=True)
        if device == "cuda" and self.device == "cpu":
            raise DeviceError(
                "expected a GPU, but ONNX Runtime fell back to the CPU; install the `cuda` extra "
                "(`uv run --extra cuda bentoml serve`) and check that `nvidia-smi` shows the GPU"
            )
        self.image_shape = self._read_image_shape()
        self.tells_familiarity = FAMILIARITY in {output.name for output in self._session.get_outputs()}
        self._outputs = ["probabilities", FAMILIARITY] if self.tells_familiarity else ["probabilities"]

    def run(self, images: Images) -> list[Prediction]:
        """Return an answer for each of ``images``."""
        outputs = self._run(images)
        probabilities = outputs[0].tolist()
        if not self.tells_familiarity:
            return [Prediction(row) for row in probabilities]
        return [
            Prediction(row, round(value, FAMILIARITY_DECIMALS))
            for row, value in zip(probabilities, outputs[1].tolist(), strict=True)
        ]

    def predict(self, images: Images) -> Probabilities:
        """Return the class probabilities of ``images``."""
        probabilities: Probabilities = self._run(images)[0]
        return probabilities

    def _run(self, images: Images) -> list[NDArray[Any]]:
        """Return every output; on a GPU the batch is padded to a warmed-up size, each of which has a session.

        One session would have cuDNN plan every convolution anew whenever the size is not that of the batch before.
        """
        if self.device == "cpu":
            outputs: list[NDArray[Any]] = self._session.run(self._outputs, {"images": images})
            return outputs
        size = batch_bucket(len(images))
        if size not in self._bound:
            session = self._open_another() if self._bound else self._session
            self._bound[size] = BoundBatch(session, size, outputs=self._outputs, device=self.device, gpu=self._gpu)
        return self._bound[size].run(images)

    def _open(self, threads: int, *, exact: bool = False) -> tuple[ort.InferenceSession, Device]:
        """Open a session and return it with its device: ONNX Runtime falls back to the CPU without an exception."""
        options = _options(threads)
        if exact:  # only has an effect on x86-64 processors without VNNI
            options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            session = ort.InferenceSession(self.path, options, providers=self._providers)
        except Exception as error:  # onnxruntime's exceptions share no other base class
            raise ModelLoadError(f"cannot load {self.path}: {error}") from error
        return session, "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"

    def _open_another(self) -> ort.InferenceSession:
        session, device = self._open(threads=1)
        if device != self.device:
            raise DeviceError(
                f"{self.path}: a batch size found no room on the GPU; free some of its memory, or set "
                "CLASSIFIER_MAX_BATCH_SIZE lower or CLASSIFIER_DEVICE=cpu"
            )
        return session

    def check_golden(self, *, limit: int | None = None) -> None:
        """Compare with the probabilities that training stored for the golden images of the version.

        Args:
            limit: number of images to compare; None for all.

        Raises:
            ModelLoadError: the file is missing, or a probability differs by more than the tolerance.
        """
        difference = self.golden_difference(limit=limit)
        tolerance = golden_tolerance(self.card.precision, self.device)
        if not difference <= tolerance:  # a NaN fails too
            raise ModelLoadError(
                f"{self.path}: golden check failed, largest difference of a probability {difference:.1e}, "
                f"expected at most {tolerance:.0e} on {self.device}"
            )

    def golden_difference(self, *, limit: int | None = None) -> float:
        """Return the largest difference of a probability over the golden images, 0..1; NaN if there is one.

        Raises:
            ModelLoadError: the golden file is missing or unreadable.
        """
        path = self.path.with_name(GOLDEN_FILES[self.card.precision])
        try:
            with np.load(path) as golden:
                images, expected = golden["images"][:limit], golden["probabilities"][:limit]
        except (OSError, KeyError, ValueError) as error:
            raise ModelLoadError(f"cannot read {path}: {error}; export the model again") from error
        starts = range(0, len(images), GOLDEN_BATCH)
        found = [self.predict(images[start : start + GOLDEN_BATCH]) for start in starts]
        return float(np.abs(np.concatenate(found) - expected).max())

    def warm_up(self, max_batch_size: int) -> None:
        """Run every batch size that will be met first."""
        if self.device == "cuda":
            sizes = [2**power for power in range(batch_bucket(max_batch_size).bit_length())]
        else:
            sizes = [1, max_batch_size]
        for size in sizes:
            self.run_blank(size)

    def run_blank(self, count: int) -> float:
        """Run ``count`` black images and return the seconds that it took."""
        images = np.zeros((count, *self.image_shape), np.uint8)
        started = time.perf_counter()
        self.run(images)
        return time.perf_counter() - started

    def _read_card(self) -> ModelCard:
        try:
            return ModelCard.from_metadata(self._session.get_modelmeta().custom_metadata_map)
        except ModelCardError as error:
            raise ModelLoadError(f"{self.path}: {error}") from error

    def _read_image_shape(self) -> tuple[int, ...]:
        inputs, outputs = self._session.get_inputs(), {output.name: output for output in self._session.get_outputs()}
        shape = inputs[0].shape if inputs else []
        is_ours = (
            [node.name for node in inputs] == ["images"]
            and inputs[0].type == "tensor(uint8)"
            and len(shape) in {3, 4}
            and all(isinstance(side, int) for side in shape[1:])
            and "probabilities" in outputs
            and outputs["probabilities"].shape[1:] == [len(self.card.class_names)]
            and all(len(output.shape) == 1 for name, output in outputs.items() if name == FAMILIARITY)
        )
        if not is_ours:
            found = ", ".join(f"{node.name} {node.type} {node.shape}" for node in (*inputs, *outputs.values()))
            raise ModelLoadError(
                f"{self.path}: expected input images uint8 (N, H, W) or (N, H, W, 3) and output probabilities "
                f"(N, {len(self.card.class_names)}), with {FAMILIARITY}, if at all, as (N,); got {found}"
            )
        return tuple(shape[1:])


def batch_bucket(count: int) -> int:
    """Return the smallest power of two that holds ``count`` images."""
    return 1 << (count - 1).bit_length()


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads  # ONNX Runtime would size its pool to the host, not to the container
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would burn whole cores
    options.log_severity_level = 3  # errors only; the device in use is logged by the worker
    return options


def _providers(device: str, gpu: int) -> list[str | tuple[str, dict[str, str]]]:
    if device == "cpu" or (device == "auto" and count_gpus() == 0):
        return ["CPUExecutionProvider"]
    ort.preload_dlls()
    # cuDNN's default search costs up to a second for every new batch size
    cuda = ("CUDAExecutionProvider", {"device_id": str(gpu), "cudnn_conv_algo_search": "HEURISTIC"})
    return [cuda, "CPUExecutionProvider"]
