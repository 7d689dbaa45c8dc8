"""Knowledge distillation (Hinton et al. 2015) from a published model."""

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from models.contract import INT8_MODEL_FILE, MODEL_FILE
from training.data.datasets import Split
from training.errors import TrainingError
from training.fitting.outlier_exposure import make_outliers
from training.fitting.training_batch import TrainingBatch
from training.onnx_session import open_session, runs_on_gpu

CPU = torch.device("cpu")

_Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]  # probabilities and logits, (M, K) each


class TeacherError(TrainingError):
    """The teacher is not published or cannot be loaded."""


class Teacher:
    """Published model that predicts the targets of the student's augmented images."""

    def __init__(self, version_folder: Path, *, device: torch.device = CPU, threads: int = 1) -> None:
        """Load a version on the student's GPU, or on the CPU.

        On the CPU the int8 graph is used if there is one; it takes less than half of the time.

        Args:
            version_folder: models/NAME/VERSION.
            device: device of the student.
            threads: CPU threads, in addition to the student's.

        Raises:
            TeacherError: the folder has no model that can be loaded.
        """
        try:
            self.session = _open(version_folder, threads=threads, on_gpu=device.type == "cuda")
        except Exception as error:  # ONNX Runtime's exceptions share no other base class
            raise TeacherError(f"cannot load the teacher from {version_folder}: {error}; retrain it first") from error

    def add_targets(
        self, batches: Iterable[Split], *, teacher_share: float, outliers: bool = False
    ) -> Iterator[TrainingBatch]:
        """Yield each batch with targets, (N, K) float32.

        The targets are the teacher's probabilities mixed with the labels.

        The teacher predicts the next batch while the student learns from the current one.

        Args:
            batches: augmented images, 0..255, which are rounded for the teacher.
            teacher_share: weight of the teacher, 0..1; the rest is the weight of the labels.
            outliers: add one outlier per image; its target is the teacher's prediction alone.
        """
        with ThreadPoolExecutor(1) as thread:
            pending: tuple[Split, Tensor, Future[_Outputs]] | None = None
            for batch in batches:
                images = torch.cat([batch.images, make_outliers(batch.images)]) if outliers else batch.images
                submitted = batch, images, thread.submit(self._predict, images)
                if pending:
                    yield _mix_targets(*pending, teacher_share)
                pending = submitted
            if pending:
                yield _mix_targets(*pending, teacher_share)

    def _predict(self, images: Tensor) -> _Outputs:
        pixels = images.round().to(torch.uint8).cpu().numpy()
        probabilities, logits = self.session.run(["probabilities", "logits"], {"images": pixels})
        return probabilities, logits


def _open(folder: Path, *, threads: int, on_gpu: bool) -> InferenceSession:
    int8, float32 = folder / INT8_MODEL_FILE, folder / MODEL_FILE
    if on_gpu:
        session = open_session(float32, threads=threads, on_gpu=True)
        if runs_on_gpu(session):
            return session
        tqdm.write("ONNX Runtime cannot use the GPU; the teacher runs on the CPU, which is slower", file=sys.stderr)
    return open_session(int8 if int8.exists() else float32, threads=threads)


def _mix_targets(batch: Split, images: Tensor, outputs: Future[_Outputs], teacher_share: float) -> TrainingBatch:
    targets, logits = (torch.from_numpy(output).to(images.device) for output in outputs.result())
    labels = functional.one_hot(batch.labels, targets.shape[1])
    mixed = teacher_share * targets[: len(batch)] + (1 - teacher_share) * labels
    targets = torch.cat([mixed, targets[len(batch) :]])
    return TrainingBatch(images=images, targets=targets, labels=batch.labels, teacher_logits=logits)
