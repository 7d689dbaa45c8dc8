"""Calibration of probabilities, fitted on the validation split."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE_BOUNDS = (0.05, 20.0)  # if every image is classified correctly, the best temperature would be 0
INVERSE_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
FLOOR_CANDIDATES = [number / 1000 for number in range(100)]  # below 1/K, so that the most likely class is above
MIN_SOFTMAX_FRACTION = 0.01  # above 0, so that no class becomes impossible and the order is kept


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Map from logits to probabilities: a temperature (Guo et al. 2017), an offset.

    Label smoothing by ``a`` gives every class at least the probability ``a / K`` (Szegedy et al. 2016), and a network
    learns to do so. A temperature cannot remove this offset; max(softmax - floor, softmax / 100), normalized, does.
    """

    temperature: float = 1.0
    floor: float = 0.0  # offset subtracted from softmax, 0..1/K

    def __call__(self, logits: Tensor) -> Tensor:
        """Return probabilities: (N, K) -> (N, K), rows sum to 1."""
        softmax = torch.softmax(logits / self.temperature, dim=1)
        if not self.floor:
            return softmax
        shares = torch.maximum(softmax - self.floor, MIN_SOFTMAX_FRACTION * softmax)
        return shares / shares.sum(dim=1, keepdim=True)


def fit_calibration(logits: Tensor, labels: Tensor, *, smoothed: bool) -> Calibration:
    """Return the calibration with the lowest negative log-likelihood.

    Args:
        logits: (N, K) of the validation split.
        labels: (N,) class ids.
        smoothed: whether the labels were smoothed in training; otherwise the floor is 0.
    """
    logits = logits.double()

    def loss(temperature: float, floor: float) -> float:
        probabilities = Calibration(temperature=temperature, floor=floor)(logits)
        return float(functional.nll_loss(probabilities.clamp_min(1e-300).log(), labels))

    def fit(floor: float) -> tuple[float, float, float]:
        low, high = map(math.log, TEMPERATURE_BOUNDS)
        temperature = math.exp(_minimize(lambda logarithm: loss(math.exp(logarithm), floor), low, high))
        return loss(temperature, floor), temperature, floor

    _loss, temperature, floor = min(fit(floor) for floor in (FLOOR_CANDIDATES if smoothed else [0.0]))
    return Calibration(temperature=temperature, floor=floor)


def _minimize(function: Callable[[float], float], low: float, high: float) -> float:
    """Minimize by golden-section search.

    Without a floor, the loss has one minimum: it is convex in the inverse temperature.
    """
    while high - low > 1e-4:
        left, right = high - INVERSE_GOLDEN_RATIO * (high - low), low + INVERSE_GOLDEN_RATIO * (high - low)
        low, high = (low, right) if function(left) <= function(right) else (left, high)
    return (low + high) / 2
