"""A published model as teacher: what it says of a deformed image is a better target than the label of the original."""

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from models.contract import INT8_MODEL_FILE, MODEL_FILE
from training.data.datasets import Split
from training.errors import TrainingError
from training.fitting.outlier_exposure import outliers_of
from training.fitting.training_batch import TrainingBatch

CPU, CUDA = torch.device("cpu"), "CUDAExecutionProvider"

_Said = tuple[NDArray[np.float32], NDArray[np.float32]]  # probabilities and logits, (M, K) each


class TeacherError(TrainingError):
    """The model that shall teach is not published."""


class Teacher:
    """Probabilities of a published model on the images that the student sees (Hinton et al. 2015)."""

    def __init__(self, version_folder: Path, *, device: torch.device = CPU, threads: int = 1) -> None:
        """Open a version, NAME/VERSION, on the student's GPU, or else on the CPU.

        There it is asked in 8 bits where it has them: its answers cost less than half of the time.

        Args:
            version_folder: of the repository of models.
            device: that the student computes on.
            threads: of the CPU, beside those that the student computes with.

        Raises:
            TeacherError: it is not there, or no model.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = _open(version_folder, options, on_gpu=device.type == "cuda")
        except Exception as error:  # ONNX Runtime's exceptions have no other base class
            raise TeacherError(f"no model in {version_folder} to learn from; retrain it first: {error}") from error

    def label(self, batches: Iterable[Split], *, share: float, outliers: bool = False) -> Iterator[TrainingBatch]:
        """Yield a lesson a batch, whose targets, (N, K) float32, are the teacher's probabilities mixed with the labels.

        The teacher looks at the next batch while the student learns from this one.

        Args:
            batches: images as augmented, 0..255, which the teacher sees rounded.
            share: of the teacher, 0..1; the rest is the labels'.
            outliers: add as many of them, for whose targets the teacher stands alone.
        """
        with ThreadPoolExecutor(1) as thread:
            ahead: tuple[Split, Tensor, Future[_Said]] | None = None
            for batch in batches:
                images = torch.cat([batch.images, outliers_of(batch.images)]) if outliers else batch.images
                following = batch, images, thread.submit(self._check_timeouts, images)
                if ahead:
                    yield _lesson(*ahead, share)
                ahead = following
            if ahead:
                yield _lesson(*ahead, share)

    def _check_timeouts(self, images: Tensor) -> _Said:
        pixels = images.round().to(torch.uint8).cpu().numpy()
        probabilities, logits = self.session.run(["probabilities", "logits"], {"images": pixels})
        return probabilities, logits


def _open(folder: Path, options: ort.SessionOptions, *, on_gpu: bool) -> ort.InferenceSession:
    int8, float32 = folder / INT8_MODEL_FILE, folder / MODEL_FILE
    if on_gpu and CUDA in ort.get_available_providers():
        cuda = (CUDA, {"cudnn_conv_algo_search": "HEURISTIC"})  # the default costs up to a second a batch size
        session = ort.InferenceSession(float32, options, providers=[cuda, "CPUExecutionProvider"])
        if session.get_providers()[0] == CUDA:
            return session
    if on_gpu:
        tqdm.write("ONNX Runtime cannot use the GPU: the teacher answers from the CPU, more slowly", file=sys.stderr)
    return ort.InferenceSession(int8 if int8.exists() else float32, options, providers=["CPUExecutionProvider"])


def _lesson(batch: Split, images: Tensor, said: Future[_Said], share: float) -> TrainingBatch:
    targets, logits = (torch.from_numpy(output).to(images.device) for output in said.result())
    mixed = share * targets[: len(batch)] + (1 - share) * functional.one_hot(batch.labels, targets.shape[1])
    targets = torch.cat([mixed, targets[len(batch) :]])
    return TrainingBatch(images=images, targets=targets, labels=batch.labels, teacher_logits=logits)
