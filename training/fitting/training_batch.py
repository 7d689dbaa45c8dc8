"""What one step of training learns from."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """Images and what they are to be taken for; those that were made of others have no label."""

    images: Tensor  # (M, ...), augmented
    targets: Tensor  # (M,) class ids, or (M, K) probabilities
    labels: Tensor  # (N,) class ids of the first N images
    teacher_logits: Tensor | None = None  # (M, K), where a teacher taught

    def __getitem__(self, rows: Tensor) -> "TrainingBatch":
        """Take some of the labelled images."""
        return TrainingBatch(images=self.images[rows], targets=self.targets[rows], labels=self.labels[rows])
