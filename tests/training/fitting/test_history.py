"""Which epoch of a run is kept."""

from dataclasses import replace

from training.fitting.history import Epoch, best_epoch


def epochs_of(*accuracies):
    figures = {"train_loss": 0.1, "train_accuracy": 0.9, "val_loss": 0.1, "lr": 0.1, "images_per_s": 1.0}
    return [Epoch(epoch=number, val_accuracy=accuracy, **figures) for number, accuracy in enumerate(accuracies, 1)]


def test_a_lucky_epoch_is_not_better_than_a_good_plateau():
    assert best_epoch(epochs_of(0.90, 0.91, 0.97, 0.90, 0.91, 0.95, 0.95, 0.95, 0.95, 0.95)).epoch == 10


def test_an_epoch_that_fell_is_not_held_up_by_those_before_it():
    assert best_epoch(epochs_of(0.95, 0.95, 0.95, 0.95, 0.95, 0.3)).epoch == 1


def test_of_equal_epochs_the_one_of_the_lowest_loss_is_best():
    history = epochs_of(0.9, 0.9, 0.9)
    history[1] = replace(history[1], val_loss=0.05)
    assert best_epoch(history).epoch == 2
