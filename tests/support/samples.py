"""Committed samples of test images, as splits."""

import numpy as np
import torch
from support.paths import DATA

from training.data.datasets import Split

SAMPLES = {"mnist": "mnist-test-500.npz", "cifar10": "cifar10-test-200.npz"}


def split(name):
    with np.load(DATA / SAMPLES[name]) as sample:
        return Split(images=torch.from_numpy(sample["images"]), labels=torch.from_numpy(sample["labels"]))
