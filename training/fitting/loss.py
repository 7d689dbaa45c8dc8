"""Training loss: cross-entropy, logit matching and outlier exposure."""

from torch import Tensor
from torch.nn import functional

from training.fitting.outlier_exposure import exposure_loss
from training.fitting.training_batch import TrainingBatch
from training.recipes.recipe import Recipe


def training_loss(logits: Tensor, batch: TrainingBatch, recipe: Recipe) -> Tensor:
    """Return the loss of a batch, a scalar.

    Args:
        logits: (M, K) float32, of all images of the batch.
        batch: the batch, with its targets.
        recipe: sets label smoothing and the weight of logit matching (Ba and Caruana 2014).
    """
    loss = functional.cross_entropy(logits, batch.targets, label_smoothing=recipe.label_smoothing)
    if batch.teacher_logits is not None and recipe.logit_matching:
        loss = loss + recipe.logit_matching * functional.mse_loss(logits, batch.teacher_logits)
    if len(batch.images) > len(batch.labels):  # the rest are outliers
        loss = loss + exposure_loss(logits, num_inliers=len(batch.labels))
    return loss
