"""Input of one training step."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """Augmented images with targets; outliers made from them have no label."""

    images: Tensor  # (M, ...), the N labelled images first, then outliers
    targets: Tensor  # (M,) class ids, or (M, K) probabilities
    labels: Tensor  # (N,) class ids of the first N images
    teacher_logits: Tensor | None = None  # (M, K); None without a teacher

    def __getitem__(self, rows: Tensor) -> "TrainingBatch":
        """Select labelled images."""
        return TrainingBatch(images=self.images[rows], targets=self.targets[rows], labels=self.labels[rows])
