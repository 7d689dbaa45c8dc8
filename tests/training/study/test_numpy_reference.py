"""Tests of the NumPy reference against examples, PyTorch and ONNX Runtime."""

from functools import partial

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from support.exported_models import tiny_classifier
from support.paths import DATA, ROOT
from torch import nn
from torch.nn import functional
from torchvision import datasets

from models.contract import FAMILIARITY, newest_version
from training.export.onnx_file import CalibratedClassifier, export_onnx
from training.networks.architectures import mnist_mlp
from training.onnx_session import open_session
from training.study.numpy_reference import (
    ACTIVATIONS,
    MLP,
    Layer,
    cross_entropy,
    he_initialization,
    leaky_relu,
    mean_squared_error,
    neuron,
    relu,
    sigmoid,
    softmax,
    tanh,
    train,
)

TORCH = {"relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(0.01), "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh()}


def test_neuron_matches_the_worked_example():
    assert neuron(np.array([0.5, 0.8, 0.2]), np.array([0.3, -0.5, 0.8]), 0.1) == pytest.approx(0.01)


def test_softmax_matches_the_worked_example():
    np.testing.assert_allclose(softmax(np.array([2, 1, 0.1])), [0.659, 0.242, 0.099], atol=5e-4)


def test_softmax_of_large_logits_does_not_overflow():
    np.testing.assert_allclose(softmax(np.array([[1e5, 1e5 - 1, -1e5], [-1e5, -1e5, -1e5]])).sum(axis=1), 1)
    np.testing.assert_allclose(softmax(np.array([1000.0, 1001.0])), softmax(np.array([0.0, 1.0])))


def test_activations_have_known_values():
    x = np.array([-1000.0, -2.0, 0.0, 2.0, 1000.0])
    assert relu(x).tolist() == [0, 0, 0, 2, 1000]
    assert leaky_relu(x).tolist() == [-10, -0.02, 0, 2, 1000]
    np.testing.assert_allclose(sigmoid(x), [0, 1 / (1 + np.e**2), 0.5, 1 / (1 + np.e**-2), 1])
    np.testing.assert_allclose(tanh(x), 2 * sigmoid(2 * x) - 1, atol=1e-15)


def test_he_initialisation_preserves_the_signal_magnitude():
    random = np.random.default_rng(0)
    signal = random.normal(size=(2000, 300))
    for _ in range(10):
        signal = relu(signal @ he_initialization(300, 300, random))
    assert np.sqrt((signal**2).mean()) == pytest.approx(1, rel=0.3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error"])
def test_gradients_match_autograd(activation, loss):
    random = np.random.default_rng(0)
    network = MLP.initialized([7, 6, 5, 4], activation=activation, seed=1)
    inputs, labels, targets = random.normal(size=(9, 7)), random.integers(0, 4, 9), random.normal(size=(9, 4))
    if loss == "cross_entropy":
        value, gradients = network.gradients(inputs, partial(cross_entropy, labels=labels))
    else:
        value, gradients = network.gradients(inputs, partial(mean_squared_error, targets=targets))
    torch_layers = [nn.Linear(*layer.weights.shape).double() for layer in network.layers]
    outputs = torch.from_numpy(inputs)
    for number, (linear, layer) in enumerate(zip(torch_layers, network.layers, strict=True)):
        linear.weight.data = torch.from_numpy(layer.weights.T.copy())
        linear.bias.data = torch.from_numpy(layer.bias.copy())
        outputs = linear(TORCH[activation](outputs) if number else outputs)
    if loss == "cross_entropy":
        expected = functional.cross_entropy(outputs, torch.from_numpy(labels))
    else:
        expected = functional.mse_loss(outputs, torch.from_numpy(targets))
    expected.backward()
    assert value == pytest.approx(expected.item(), abs=1e-12)
    for linear, gradient in zip(torch_layers, gradients, strict=True):
        np.testing.assert_allclose(gradient.weights, linear.weight.grad.numpy().T, atol=1e-6)
        np.testing.assert_allclose(gradient.bias, linear.bias.grad.numpy(), atol=1e-6)


def read_mlp(path):
    """Return an exported MLP as a NumPy network, with its pixel mean and std."""
    model = onnx.load(path)
    tensors = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if not node.name.startswith(FAMILIARITY)]
    gemms = [node for node in nodes if node.op_type == "Gemm"]
    normalizer = [next(node for node in nodes if node.op_type == name) for name in ("Sub", "Div")]
    mean, std = (float(tensors[node.input[1]].item()) for node in normalizer)
    layers = [Layer(tensors[gemm.input[1]].T, tensors[gemm.input[2]]) for gemm in gemms]
    return MLP(layers), mean, std


def course_mlp(folder):
    torch.manual_seed(0)
    network = mnist_mlp([33.0], [79.0]).eval()
    classifier = CalibratedClassifier(network, tiny_classifier().calibration)
    export_onnx(classifier, folder / "course.onnx", torch.zeros((2, 28, 28), dtype=torch.uint8))
    return folder / "course.onnx"


@pytest.mark.parametrize("which", ["published", "course"])
def test_exported_mlp_matches_the_numpy_forward_pass(which, tmp_path):
    path = newest_version(ROOT / "models" / "mnist") / "model.onnx" if which == "published" else course_mlp(tmp_path)
    network, mean, std = read_mlp(path)
    assert [layer.weights.shape[1] for layer in network.layers] == {
        "published": [1024, 1024, 10],
        "course": [256, 128, 10],
    }[which]
    with np.load(DATA / "mnist-test-500.npz") as sample:
        images = sample["images"]
    logits = network.forward((images.reshape(-1, 784) - mean) / std)
    np.testing.assert_allclose(open_session(path).run(["logits"], {"images": images})[0], logits, atol=1e-4)


def test_network_learns_real_digits():
    with np.load(DATA / "mnist-test-500.npz") as sample:
        images, labels = sample["images"], sample["labels"]
    more = datasets.MNIST(DATA, train=True)
    digits = np.concatenate([images[:400], more.data.numpy()])
    moves = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    inputs = np.concatenate([np.roll(digits, move, axis=(1, 2)) for move in moves]).reshape(-1, 784) / 255
    targets = np.tile(np.concatenate([labels[:400], more.targets.numpy()]), len(moves))
    network = MLP.initialized([784, 128, 64, 10])
    losses = train(network, inputs, targets, epochs=15)
    predictions = network.forward(images[400:].reshape(-1, 784) / 255).argmax(axis=1)
    assert (predictions == labels[400:]).mean() >= 0.9
    assert (losses[0] > 0.9, losses[-1] < 0.05) == (True, True)
