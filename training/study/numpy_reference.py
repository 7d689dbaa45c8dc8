"""The course's networks in NumPy: neuron, activations, losses and MLP.

A reference in double precision, not optimised for speed. Tests compare PyTorch and ONNX Runtime with it. Batches are
rows: (N, features).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.integer]

LEAK = 0.01  # slope of the leaky ReLU below 0


def neuron(inputs: Array, weights: Array, bias: float) -> float:
    """Return inputs (D,) times weights (D,) plus bias (Rosenblatt 1958)."""
    return float(inputs @ weights + bias)


def relu(x: Array) -> Array:
    """Replace negative values by 0."""
    return np.maximum(x, 0)


def leaky_relu(x: Array) -> Array:
    """Scale negative values by 0.01 to keep their gradient (Maas et al. 2013)."""
    return np.where(x > 0, x, LEAK * x)


def sigmoid(x: Array) -> Array:
    """Map to 0..1; only exponentials of values <= 0 are used, so that none overflows."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, small) / (1 + small))


def tanh(x: Array) -> Array:
    """Map to -1..1."""
    return np.tanh(x)


def softmax(logits: Array) -> Array:
    """Return probabilities, (..., K); subtracts the maximum to avoid overflow."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Activation:
    """An elementwise function, and its derivative as a function of input and output."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array, Array], Array]


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(relu, lambda x, _y: (x > 0).astype(np.float64)),
    "leaky_relu": Activation(leaky_relu, lambda x, _y: np.where(x > 0, 1, LEAK)),
    "sigmoid": Activation(sigmoid, lambda _x, y: y * (1 - y)),
    "tanh": Activation(tanh, lambda _x, y: 1 - y**2),
}


def cross_entropy(logits: Array, labels: Labels) -> tuple[float, Array]:
    """Return the mean loss and its gradient: (N, K), (N,) -> scalar, (N, K)."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    gradient = softmax(logits)
    gradient[rows, labels] -= 1
    return float((log_sums - shifted[rows, labels]).mean()), gradient / len(labels)


def mean_squared_error(outputs: Array, targets: Array) -> tuple[float, Array]:
    """Return the loss and its gradient: (N, K), (N, K) -> scalar, (N, K)."""
    differences = outputs - targets
    return float((differences**2).mean()), 2 * differences / differences.size


def he_initialization(fan_in: int, fan_out: int, random: np.random.Generator) -> Array:
    """Draw weights (fan_in, fan_out) for layers before ReLUs (He et al. 2015)."""
    return random.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out))


@dataclass
class Layer:
    """An affine map: (N, D) -> (N, K)."""

    weights: Array  # (D, K)
    bias: Array  # (K,)


class MLP:
    """A multilayer perceptron with one activation function; the outputs are logits."""

    def __init__(self, layers: Sequence[Layer], *, activation: str = "relu") -> None:
        self.layers = list(layers)
        self._activation = ACTIVATIONS[activation]

    @classmethod
    def initialized(cls, sizes: Sequence[int], *, activation: str = "relu", seed: int = 0) -> "MLP":
        """Return a network with He initialisation; ``sizes`` runs from inputs to classes."""
        random = np.random.default_rng(seed)
        layers = [Layer(he_initialization(*sizes, random), np.zeros(sizes[1])) for sizes in pairwise(sizes)]
        return cls(layers, activation=activation)

    def forward(self, inputs: Array) -> Array:
        """Return the logits of a batch: (N, D) -> (N, K)."""
        return self._forward(inputs)[0][-1]

    def _forward(self, inputs: Array) -> tuple[list[Array], list[Array]]:
        """Return the output and the input of each layer."""
        layer_outputs, layer_inputs = [], [inputs]
        for layer in self.layers:
            layer_outputs.append(layer_inputs[-1] @ layer.weights + layer.bias)
            layer_inputs.append(self._activation.function(layer_outputs[-1]))
        return layer_outputs, layer_inputs[:-1]

    def gradients(self, inputs: Array, loss: Callable[[Array], tuple[float, Array]]) -> tuple[float, list[Layer]]:
        """Return the loss of a batch and its gradients by weights and biases.

        Uses backpropagation (Rumelhart et al. 1986).

        Args:
            inputs: (N, D).
            loss: maps logits (N, K) to the loss and its gradient (N, K).
        """
        layer_outputs, layer_inputs = self._forward(inputs)
        value, gradient = loss(layer_outputs[-1])
        layer_gradients: list[Layer] = []
        for index in reversed(range(len(self.layers))):
            layer_gradients.insert(0, Layer(layer_inputs[index].T @ gradient, gradient.sum(axis=0)))
            if index:
                input_gradient = gradient @ self.layers[index].weights.T
                gradient = input_gradient * self._activation.derivative(layer_outputs[index - 1], layer_inputs[index])
        return value, layer_gradients

    def descend(self, gradients: Sequence[Layer], *, lr: float) -> None:
        """Apply one step of gradient descent."""
        for layer, gradient in zip(self.layers, gradients, strict=True):
            layer.weights -= lr * gradient.weights
            layer.bias -= lr * gradient.bias


def train(
    network: MLP, inputs: Array, labels: Labels, *, epochs: int, batch_size: int = 32, lr: float = 0.1, seed: int = 0
) -> list[float]:
    """Minimise the cross-entropy by mini-batches; return the mean loss per epoch."""
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
