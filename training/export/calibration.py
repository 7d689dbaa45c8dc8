"""Calibration: what makes a confidence mean what it says, fitted on the validation split."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

BOUNDS = (0.05, 20.0)  # where every image is classified right, the best temperature would be none at all
RATIO = (math.sqrt(5) - 1) / 2
FLOORS = [thousandths / 1000 for thousandths in range(100)]  # below 1/K the likeliest class is always above it
KEPT = 0.01  # of softmax at least, so that no class becomes impossible and their order stays


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """From logits to probabilities by a temperature (Guo et al. 2017) and, after label smoothing, a floor.

    Smoothed by ``a``, labels give each of K classes ``a / K`` even where it is out of the question (Szegedy et al.
    2016), and a network learns to do so too. No temperature takes that floor off again: max(softmax - floor, softmax /
    100) does, normalised.
    """

    temperature: float = 1.0
    floor: float = 0.0  # of softmax, 0..1/K

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the probabilities: (N, K) -> (N, K), whose rows sum to 1."""
        softmax = torch.softmax(logits / self.temperature, dim=1)
        if not self.floor:
            return softmax
        shares = torch.maximum(softmax - self.floor, KEPT * softmax)
        return shares / shares.sum(dim=1, keepdim=True)


def fit_calibration(logits: Tensor, labels: Tensor, *, smoothed: bool) -> Calibration:
    """Return the calibration of the least negative log-likelihood.

    Args:
        logits: (N, K) of the validation split.
        labels: (N,) class ids.
        smoothed: whether the network learned smoothed labels; otherwise the floor is nothing.
    """
    logits = logits.double()

    def loss(temperature: float, floor: float) -> float:
        probabilities = Calibration(temperature=temperature, floor=floor)(logits)
        return float(functional.nll_loss(probabilities.clamp_min(1e-300).log(), labels))

    def fit(floor: float) -> tuple[float, float, float]:
        temperature = math.exp(_minimum(lambda logarithm: loss(math.exp(logarithm), floor), *map(math.log, BOUNDS)))
        return loss(temperature, floor), temperature, floor

    _loss, temperature, floor = min(fit(floor) for floor in (FLOORS if smoothed else [0.0]))
    return Calibration(temperature=temperature, floor=floor)


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Golden-section search. Without a floor the likelihood has one optimum, convex in the inverse temperature."""
    while high - low > 1e-4:
        left, right = high - RATIO * (high - low), low + RATIO * (high - low)
        low, high = (low, right) if function(left) <= function(right) else (left, high)
    return (low + high) / 2
