"""Temperature scaling: one number that makes confidence mean what it says (Guo et al. 2017)."""

import math

from torch import Tensor
from torch.nn import functional

BOUNDS = (0.05, 20.0)  # where every image is classified right, the best temperature would be none at all
RATIO = (math.sqrt(5) - 1) / 2


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature of the least negative log-likelihood, by golden-section search.

    The likelihood has one optimum: it is convex in the inverse of the temperature.

    Args:
        logits: (N, K) of the validation split.
        labels: (N,) class ids.
    """
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        return float(functional.cross_entropy(logits / math.exp(log_temperature), labels))

    low, high = map(math.log, BOUNDS)
    while high - low > 1e-4:
        left, right = high - RATIO * (high - low), low + RATIO * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return math.exp((low + high) / 2)
