"""ONNX Runtime sessions: uint8 images to class probabilities."""

import mmap
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.card import METADATA_KEY, MissingCardError, ModelCard, ModelCardError
from models.contract import EXACT_WEIGHT_BITS, FAMILIARITY, FAMILIARITY_DECIMALS
from service.prediction import Prediction
from service.runtime.cuda_binding import BatchSessions, batch_bucket
from service.runtime.hardware import count_gpus

Device = Literal["cpu", "cuda"]
Images = NDArray[np.uint8]  # (N, H, W) grey or (N, H, W, 3) colour
Providers = Sequence[str | tuple[str, dict[str, str]]]
Probabilities = NDArray[np.float32]  # (N, K), rows sum to 1


class ModelLoadError(RuntimeError):
    """A model file is unreadable, violates the contract, or fails its golden check."""


class ForeignModelError(ModelLoadError):
    """A model file has no card: it is of another project."""


class DeviceError(RuntimeError):
    """ONNX Runtime fell back to the CPU where a GPU was required or planned."""


class OnnxClassifier:
    """A model in ONNX Runtime.

    Input ``images``; outputs ``probabilities`` and, in some models, ``familiarity``.
    """

    def __init__(self, path: Path, *, device: Literal["auto", "cpu", "cuda"], threads: int, gpu: int = 0) -> None:
        """Load ``path`` on ``device`` with ``threads`` CPU threads.

        Raises:
            ModelLoadError: ONNX Runtime cannot load the file, or it violates the contract.
            DeviceError: ``device`` is ``cuda`` and there is no GPU, or ONNX Runtime cannot use it.
        """
        self.path, self.threads = path, threads
        self._providers = _providers(device, gpu)
        self._exact = False
        try:
            self._session, self.device = open_session(path, self._providers, threads=threads, exact=self._exact)
        except ModelLoadError as error:
            if has_card(path):
                raise
            raise ForeignModelError(str(error)) from error
        self.card = self._read_card()
        if self.card.precision == "int8" and self.card.weight_bits != EXACT_WEIGHT_BITS:
            self._exact = True
            self._session, self.device = open_session(path, self._providers, threads=threads, exact=self._exact)
        if device == "cuda" and self.device == "cpu":
            raise DeviceError(
                "expected a GPU, but ONNX Runtime fell back to the CPU; install the `cuda` extra "
                "(`uv run --extra cuda bentoml serve`) and check that `nvidia-smi` shows the GPU"
            )
        self.image_shape = self._read_image_shape()
        self.has_familiarity = FAMILIARITY in {output.name for output in self._session.get_outputs()}
        self._outputs = ["probabilities", FAMILIARITY] if self.has_familiarity else ["probabilities"]
        self._gpu_sessions: BatchSessions | None = None
        if self.device == "cuda":
            open_another = partial(open_on_gpu, path, self._providers, exact=self._exact)  # without a reference to self
            self._gpu_sessions = BatchSessions(
                self._session, open_another, outputs=self._outputs, device=self.device, gpu=gpu
            )

    def run(self, images: Images) -> list[Prediction]:
        """Return one prediction per image: (N, ...) uint8 -> N predictions."""
        outputs = self._run(images)
        probabilities = outputs[0].tolist()
        if not self.has_familiarity:
            return [Prediction(row) for row in probabilities]
        return [
            Prediction(row, round(value, FAMILIARITY_DECIMALS))
            for row, value in zip(probabilities, outputs[1].tolist(), strict=True)
        ]

    def predict(self, images: Images) -> Probabilities:
        """Return the class probabilities: (N, ...) uint8 -> (N, K)."""
        probabilities: Probabilities = self._run(images)[0]
        return probabilities

    def _run(self, images: Images) -> list[NDArray[Any]]:
        """Return the outputs of the model."""
        if self._gpu_sessions is not None:
            return self._gpu_sessions.run(images)
        outputs: list[NDArray[Any]] = self._session.run(self._outputs, {"images": images})
        return outputs

    def warm_up(self, max_batch_size: int) -> None:
        """Run the batch sizes that the first requests will use."""
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
        except MissingCardError as error:
            raise ForeignModelError(f"{self.path}: {error}") from error
        except ModelCardError as error:
            raise ModelLoadError(f"{self.path}: {error}") from error

    def _read_image_shape(self) -> tuple[int, ...]:
        inputs, outputs = self._session.get_inputs(), {output.name: output for output in self._session.get_outputs()}
        shape = inputs[0].shape if inputs else []
        meets_contract = (
            [node.name for node in inputs] == ["images"]
            and inputs[0].type == "tensor(uint8)"
            and len(shape) in {3, 4}
            and all(isinstance(side, int) for side in shape[1:])
            and "probabilities" in outputs
            and outputs["probabilities"].shape[1:] == [len(self.card.class_names)]
            and all(len(output.shape) == 1 for name, output in outputs.items() if name == FAMILIARITY)
        )
        if not meets_contract:
            found = ", ".join(f"{node.name} {node.type} {node.shape}" for node in (*inputs, *outputs.values()))
            raise ModelLoadError(
                f"{self.path}: expected input images uint8 (N, H, W) or (N, H, W, 3) and output probabilities "
                f"(N, {len(self.card.class_names)}), optionally {FAMILIARITY} (N,); got {found}"
            )
        return tuple(shape[1:])


def has_card(path: Path) -> bool:
    """Return whether a file contains the key of a card, even if ONNX Runtime cannot load it."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(METADATA_KEY.encode()) >= 0
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False


def open_session(path: Path, providers: Providers, *, threads: int, exact: bool) -> tuple[ort.InferenceSession, Device]:
    """Open a session and return it with its device.

    ONNX Runtime falls back to the CPU without an exception.

    Raises:
        ModelLoadError: ONNX Runtime cannot load the file.
    """
    try:
        session = ort.InferenceSession(path, session_options(threads, exact=exact), providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no other base class
        raise ModelLoadError(f"cannot load {path}: {error}") from error
    return session, "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"


def open_on_gpu(path: Path, providers: Providers, *, exact: bool) -> ort.InferenceSession:
    """Open another session on the GPU.

    Raises:
        DeviceError: ONNX Runtime fell back to the CPU.
    """
    session, device = open_session(path, providers, threads=1, exact=exact)
    if device != "cuda":
        raise DeviceError(
            f"{path}: not enough GPU memory for another batch size; free GPU memory, lower "
            "CLASSIFIER_MAX_BATCH_SIZE or set CLASSIFIER_DEVICE=cpu"
        )
    return session


def session_options(threads: int, *, exact: bool) -> ort.SessionOptions:
    """Return the options of a session.

    Args:
        threads: CPU threads per run.
        exact: whether int8 products are exact on x86-64 processors without VNNI, at a lower speed; no effect on others.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads  # ONNX Runtime would size its pool to the host, not to the container
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning idle threads occupy whole cores
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3  # errors only; the device in use is logged by the worker
    return options


def _providers(device: str, gpu: int) -> Providers:
    num_gpus = 0 if device == "cpu" else count_gpus()
    if device == "cuda" and not num_gpus:
        raise DeviceError(
            "expected a GPU, but none is visible; check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or set "
            "CLASSIFIER_DEVICE=cpu"
        )
    if not num_gpus:
        return ["CPUExecutionProvider"]
    ort.preload_dlls()
    # cuDNN's default search costs up to a second for every new batch size
    cuda = ("CUDAExecutionProvider", {"device_id": str(gpu), "cudnn_conv_algo_search": "HEURISTIC"})
    return [cuda, "CPUExecutionProvider"]
