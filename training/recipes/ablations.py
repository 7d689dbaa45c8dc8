"""Ablations: published recipes with one part removed or simplified."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from training.data.augmentation import Augmentation
from training.recipes.recipe import CIFAR10_RECIPES, DEFORMATION, GENTLE_DEFORMATION, MNIST_RECIPES

PHOTOS = CIFAR10_RECIPES["published"].augmentation

ABLATIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {  # model -> name -> replaced settings
    "mnist": {
        "as published": {},
        "no outliers": {"outlier_exposure": False},
        "no teacher, and so no outliers": {"teacher": "", "outlier_exposure": False},
        "no elastic deformation": {"augmentation": replace(DEFORMATION, elastic=0.0)},
        "no deformation at all": {"augmentation": Augmentation()},
        "no batch norm": {"batch_norm": False},
        "no lookahead": {"lookahead": False},
        "a tenth dropped out": {"drop_rate": 0.1},
        "the course's widths, 256 and 128": {"widths": MNIST_RECIPES["course"].widths},
    },
    "mnist-cnn": {
        "as published": {},
        "no teacher": {"teacher": ""},
        "AdamW alone": {"optimizer": "adamw"},
        "gentler deformation": {"augmentation": GENTLE_DEFORMATION},
        "no elastic deformation": {"augmentation": replace(DEFORMATION, elastic=0.0)},
        "no deformation at all": {"augmentation": Augmentation()},
        "no lookahead": {"lookahead": False},
        "a fifth dropped out": {"drop_rate": 0.2},
    },
    "cifar10": {
        "as published": {},
        "every image of a batch, half the epochs": {"hardest": 1.0},
        "no whitening, random filters": {"whitened": False},
        "whitening epsilon 1e-2": {"whitening_epsilon": 1e-2},
        "noise of up to 10 of 255": {"augmentation": replace(PHOTOS, noise=10.0)},
        "biases of norms learn as fast as weights": {"bias_lr_factor": 1.0},
        "no lookahead": {"lookahead": False},
        "no cutout": {"augmentation": replace(PHOTOS, cutout=0)},
        "no label smoothing": {"label_smoothing": 0.0},
        "two convolutions a group, not three": {"depth": 2},
    },
}
