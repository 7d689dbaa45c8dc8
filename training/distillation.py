"""A published model as teacher: what it says of a deformed image is a better target than the label of the original."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from models.layout import INT8_MODEL_FILE, MODEL_FILE
from training.errors import TrainingError
from training.export import open_session


class TeacherError(TrainingError):
    """The model that shall teach is not published."""


class Teacher:
    """Probabilities of a published model on the images that the student sees (Hinton et al. 2015)."""

    def __init__(self, version_folder: Path) -> None:
        """Open a version, NAME/VERSION, in 8 bits where it has them: they cost a third and teach as well.

        Raises:
            TeacherError: it is not there, or no model.
        """
        int8 = version_folder / INT8_MODEL_FILE
        try:
            self.session = open_session(int8 if int8.exists() else version_folder / MODEL_FILE)
        except Exception as error:  # ONNX Runtime's exceptions have no other base class
            raise TeacherError(f"no model in {version_folder} to learn from; retrain it first: {error}") from error

    def targets(self, images: Tensor, labels: Tensor, *, share: float) -> Tensor:
        """Mix the teacher's probabilities with the labels: (N, K) float32.

        Args:
            images: (N, ...) as augmented, 0..255.
            labels: (N,) class ids.
            share: of the teacher, 0..1.
        """
        pixels = images.round().to(torch.uint8).cpu().numpy()
        probabilities = torch.from_numpy(self.session.run(["probabilities"], {"images": pixels})[0]).to(labels.device)
        own = functional.one_hot(labels, probabilities.shape[1])
        return share * probabilities + (1 - share) * own
