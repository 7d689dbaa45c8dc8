"""The course's networks in NumPy alone: a neuron, activations, losses, and an MLP that learns by backpropagation.

Everything is in double precision and as the text has it, nothing is fast: the tests hold what PyTorch trains and ONNX
Runtime computes to it. Batches are rows: (N, features).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.integer]

LEAK = 0.01  # slope of the leaky ReLU below nothing


def neuron(inputs: Array, weights: Array, bias: float) -> float:
    """Return the weighted sum of the inputs and the bias: (D,), (D,) -> a number (Rosenblatt 1958)."""
    return float(inputs @ weights + bias)


def relu(x: Array) -> Array:
    """Cut off what is below nothing."""
    return np.maximum(x, 0)


def leaky_relu(x: Array) -> Array:
    """Leave a hundredth of what is below nothing, so that its gradient never vanishes (Maas et al. 2013)."""
    return np.where(x > 0, x, LEAK * x)


def sigmoid(x: Array) -> Array:
    """Squash to 0..1; by the exponential of nothing above 0, which cannot overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, small) / (1 + small))


def tanh(x: Array) -> Array:
    """Squash to -1..1."""
    return np.tanh(x)


def softmax(logits: Array) -> Array:
    """Make each row probabilities: (..., K) -> (..., K); by logits below their largest, which cannot overflow."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Activation:
    """A function of each number, and its derivative in terms of its input and its output."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array, Array], Array]


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(relu, lambda x, _y: (x > 0).astype(np.float64)),
    "leaky_relu": Activation(leaky_relu, lambda x, _y: np.where(x > 0, 1, LEAK)),
    "sigmoid": Activation(sigmoid, lambda _x, y: y * (1 - y)),
    "tanh": Activation(tanh, lambda _x, y: 1 - y**2),
}


def cross_entropy(logits: Array, labels: Labels) -> tuple[float, Array]:
    """Return the mean negative log-likelihood of the labels, and its gradient: (N, K), (N,) -> a number, (N, K)."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    gradient = softmax(logits)
    gradient[rows, labels] -= 1
    return float((log_sums - shifted[rows, labels]).mean()), gradient / len(labels)


def mean_squared_error(outputs: Array, targets: Array) -> tuple[float, Array]:
    """Return the mean of the squared differences, and its gradient: (N, K), (N, K) -> a number, (N, K)."""
    differences = outputs - targets
    return float((differences**2).mean()), 2 * differences / differences.size


def he_initialization(fan_in: int, fan_out: int, random: np.random.Generator) -> Array:
    """Draw weights (fan_in, fan_out) that keep the size of what a ReLU passes on (He et al. 2015)."""
    return random.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out))


@dataclass
class Layer:
    """An affine map: (N, D) -> (N, K)."""

    weights: Array  # (D, K)
    bias: Array  # (K,)


class MLP:
    """A multilayer perceptron of any sizes: affine layers, an activation between each two; logits come out."""

    def __init__(self, layers: Sequence[Layer], *, activation: str = "relu") -> None:
        self.layers = list(layers)
        self._activation = ACTIVATIONS[activation]

    @classmethod
    def initialized(cls, sizes: Sequence[int], *, activation: str = "relu", seed: int = 0) -> "MLP":
        """Return a network of ``sizes``, inputs first and classes last, by He initialisation."""
        random = np.random.default_rng(seed)
        layers = [Layer(he_initialization(*sizes, random), np.zeros(sizes[1])) for sizes in pairwise(sizes)]
        return cls(layers, activation=activation)

    def forward(self, inputs: Array) -> Array:
        """Return the logits of a batch: (N, D) -> (N, K)."""
        return self._forward(inputs)[0][-1]

    def _forward(self, inputs: Array) -> tuple[list[Array], list[Array]]:
        """Return what each layer gives, and what each takes."""
        given, taken = [], [inputs]
        for layer in self.layers:
            given.append(taken[-1] @ layer.weights + layer.bias)
            taken.append(self._activation.function(given[-1]))
        return given, taken[:-1]

    def gradients(self, inputs: Array, loss: Callable[[Array], tuple[float, Array]]) -> tuple[float, list[Layer]]:
        """Return the loss of a batch, and its gradient by every weight and bias.

        By backpropagation (Rumelhart et al. 1986).

        Args:
            inputs: (N, D).
            loss: of the logits (N, K), with its gradient.
        """
        given, taken = self._forward(inputs)
        value, gradient = loss(given[-1])
        found: list[Layer] = []
        for number in reversed(range(len(self.layers))):
            found.insert(0, Layer(taken[number].T @ gradient, gradient.sum(axis=0)))
            if number:
                back = gradient @ self.layers[number].weights.T
                gradient = back * self._activation.derivative(given[number - 1], taken[number])
        return value, found

    def descend(self, gradients: Sequence[Layer], *, lr: float) -> None:
        """Take a step of gradient descent."""
        for layer, gradient in zip(self.layers, gradients, strict=True):
            layer.weights -= lr * gradient.weights
            layer.bias -= lr * gradient.bias


def train(
    network: MLP, inputs: Array, labels: Labels, *, epochs: int, batch_size: int = 32, lr: float = 0.1, seed: int = 0
) -> list[float]:
    """Minimise the cross-entropy by mini-batch gradient descent; return the mean loss of each epoch."""
    random, losses = np.random.default_rng(seed), []
    for _ in range(epochs):
        order, total = random.permutation(len(inputs)), 0.0
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            loss, gradients = network.gradients(inputs[batch], partial(cross_entropy, labels=labels[batch]))
            network.descend(gradients, lr=lr)
            total += loss * len(batch)
        losses.append(total / len(order))
    return losses
