"""Choice of the best epoch of a run."""

from dataclasses import replace

from training.fitting.history import Epoch, best_epoch


def epochs_of(*accuracies):
    values = {"train_loss": 0.1, "train_accuracy": 0.9, "val_loss": 0.1, "lr": 0.1, "images_per_s": 1.0}
    return [Epoch(epoch=number, val_accuracy=accuracy, **values) for number, accuracy in enumerate(accuracies, 1)]


def test_best_epoch_prefers_a_plateau_to_a_single_peak():
    assert best_epoch(epochs_of(0.90, 0.91, 0.97, 0.90, 0.91, 0.95, 0.95, 0.95, 0.95, 0.95)).epoch == 10


def test_best_epoch_does_not_average_a_drop_with_earlier_epochs():
    assert best_epoch(epochs_of(0.95, 0.95, 0.95, 0.95, 0.95, 0.3)).epoch == 1


def test_best_epoch_has_the_lowest_loss_of_equal_accuracies():
    history = epochs_of(0.9, 0.9, 0.9)
    history[1] = replace(history[1], val_loss=0.05)
    assert best_epoch(history).epoch == 2
