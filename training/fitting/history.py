"""What a run did, epoch by epoch."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

JUDGED_BY = 5  # epochs


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch gave; training figures are of the augmented images, while the network changed."""

    epoch: int  # from 1
    train_loss: float
    train_accuracy: float  # 0..1
    val_loss: float
    val_accuracy: float  # 0..1
    lr: float  # at its end
    images_per_s: float


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a run left in the network: its best epoch."""

    history: list[Epoch]
    best: Epoch
    seconds: float
    stopped: bool  # before its last epoch and the end of its patience


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch of the highest validation accuracy, of equals the one of the lowest loss.

    Where an epoch stands out from the four before it, that is luck, more so while the rate is high: it is judged by the
    mean of the five then.
    """

    def rank(index: int) -> tuple[float, float]:
        epoch, latest = history[index], history[max(0, index + 1 - JUDGED_BY) : index + 1]
        mean = statistics.mean(one.val_accuracy for one in latest)
        return min(mean, epoch.val_accuracy), -epoch.val_loss

    return history[max(range(len(history)), key=rank)]


def describe_epoch(epoch: Epoch, epochs: int) -> str:
    """Return one line for the log; ``epochs`` is how many the run has."""
    return (
        f"epoch {epoch.epoch}/{epochs}  train loss {epoch.train_loss:.4f} accuracy {epoch.train_accuracy:.4f}  "
        f"val loss {epoch.val_loss:.4f} accuracy {epoch.val_accuracy:.4f}  lr {epoch.lr:.2e}  "
        f"{epoch.images_per_s:,.0f} images/s"
    )
