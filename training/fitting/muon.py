"""Muon optimizer (Jordan 2024): steps along orthogonalized momentum."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

ITERATIONS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)  # of Jordan's Newton-Schulz iteration, which is steep at 0
UPDATE_RMS = 0.2  # root mean square of an update, for learning rates tuned for Adam (Liu et al. 2025)


class Muon(torch.optim.AdamW):
    """Muon for the weights of hidden layers and AdamW for all other parameters.

    Both have the same rate and decay.

    A convolution's weight (out, in, height, width) is treated as a matrix (out, in * height * width). torch's own Muon
    accepts only matrices.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], hidden: Iterable[nn.Parameter], *, lr: float, momentum: float
    ) -> None:
        super().__init__(groups, lr=lr, fused=True)
        self._hidden, self._momentum = set(hidden), momentum

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight in self._hidden and weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(self._direction(weight, weight.grad), alpha=-group["lr"])
                    weight.grad = None  # so that AdamW skips it
        super().step(closure)

    def _direction(self, weight: nn.Parameter, gradient: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())  # AdamW expects it when a state is loaded
            state["momentum_buffer"] = torch.zeros_like(weight)
        average: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - self._momentum)
        nesterov = gradient.lerp(average, self._momentum)
        matrix = orthogonalize(nesterov.flatten(1))
        return matrix.reshape(weight.shape) * (UPDATE_RMS * math.sqrt(max(matrix.shape)))


def hidden_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights of convolutions and linear layers between first and last."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return [layer.get_parameter("weight") for layer in layers[1:-1]]


def orthogonalize(matrix: Tensor) -> Tensor:
    """Map the singular values of an (M, N) matrix to 0.7..1.2, computing in bfloat16."""
    a, b, c = COEFFICIENTS
    wide = matrix.bfloat16() if matrix.shape[0] <= matrix.shape[1] else matrix.bfloat16().T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    result: Tensor = wide if matrix.shape[0] <= matrix.shape[1] else wide.T
    return result.to(matrix.dtype)
