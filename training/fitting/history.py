"""Measurements of each epoch of a run, and the choice of the best epoch."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MEAN_EPOCHS = 5  # epochs in the running mean of the validation accuracy


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Measurements of one epoch.

    Training values are of augmented images, averaged over the steps of the epoch.
    """

    epoch: int  # from 1
    train_loss: float
    train_accuracy: float  # 0..1
    val_loss: float
    val_accuracy: float  # 0..1
    lr: float  # of the last step
    images_per_s: float


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """Result of a run; the network has the weights of its best epoch."""

    history: list[Epoch]
    best: Epoch
    seconds: float
    stopped: bool  # before its last epoch and before its patience ended


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch of the highest validation accuracy.

    The lowest validation loss breaks ties.

    An accuracy above the mean of the last five epochs counts as that mean: such peaks are noise, mostly while the
    learning rate is high.
    """

    def rank(index: int) -> tuple[float, float]:
        epoch, latest = history[index], history[max(0, index + 1 - MEAN_EPOCHS) : index + 1]
        mean = statistics.mean(each.val_accuracy for each in latest)
        return min(mean, epoch.val_accuracy), -epoch.val_loss

    return history[max(range(len(history)), key=rank)]


def describe_epoch(epoch: Epoch, epochs: int) -> str:
    """Format an epoch as one log line; ``epochs`` is the number of epochs of the run."""
    return (
        f"epoch {epoch.epoch}/{epochs}  train loss {epoch.train_loss:.4f} accuracy {epoch.train_accuracy:.4f}  "
        f"val loss {epoch.val_loss:.4f} accuracy {epoch.val_accuracy:.4f}  lr {epoch.lr:.2e}  "
        f"{epoch.images_per_s:,.0f} images/s"
    )
