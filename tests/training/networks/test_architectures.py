"""Shapes, sizes, initialization and folding of the networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.paths import DATA
from torch import nn

from training.errors import TrainingError
from training.export.folding import centre_logits, discount_strength, fold_batch_norms
from training.networks.architectures import (
    ChannelsFirst,
    ConvGroup,
    PixelNormalizer,
    cifar10_cnn,
    count_multiply_adds,
    count_parameters,
    mnist_cnn,
    mnist_mlp,
    mnist_resnet,
)
from training.networks.initialization import initialize, whiten
from training.pipeline.building import make_network
from training.recipes.recipe import CIFAR10_RECIPES, MNIST_RECIPES, MNIST_RESNET_RECIPES
from training.recipes.zoo import ZOO

MEAN, STD = [125.0, 123.0, 114.0], [63.0, 62.0, 67.0]


def photos(count):
    """Return random images with correlated neighbouring pixels, as in photographs."""
    noise = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    return nn.functional.interpolate(noise, size=32, mode="bilinear").permute(0, 2, 3, 1).to(torch.uint8)


def test_mnist_mlp_has_the_layers_of_the_course():
    layers = [layer for layer in mnist_mlp([33.0], [78.0]) if not isinstance(layer, PixelNormalizer | nn.Flatten)]
    assert [str(layer).split("(")[0] for layer in layers] == ["Linear", "ReLU", "Dropout"] * 2 + ["Linear"]
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(784, 256), (256, 128), (128, 10)]
    assert {layer.p for layer in layers if isinstance(layer, nn.Dropout)} == {0.3}


def test_multiply_adds_and_parameters_of_an_mlp():
    network, products = mnist_mlp([33.0], [78.0]), 784 * 256 + 256 * 128 + 128 * 10
    assert count_multiply_adds(network, torch.zeros(1, 28, 28, dtype=torch.uint8)) == products
    assert count_parameters(network) == products + 256 + 128 + 10


def test_multiply_adds_of_a_convolution_count_every_position():
    network = nn.Conv2d(3, 5, 3, bias=False)
    assert count_multiply_adds(network, torch.zeros(1, 3, 10, 6)) == 5 * 8 * 4 * 3 * 3 * 3


def test_cifar10_cnn_takes_raw_photos_within_its_budget():
    recipe = CIFAR10_RECIPES["published"]
    network = cifar10_cnn(MEAN, STD, widths=recipe.widths, depth=recipe.depth)
    assert count_multiply_adds(network, photos(1)) <= 305_000_000
    assert network(photos(3)).shape == (3, 10)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def test_mnist_resnet_takes_raw_digits():
    recipe = MNIST_RESNET_RECIPES["published"]
    network = mnist_resnet([33.0], [78.0], widths=recipe.widths, drop_rate=recipe.drop_rate)
    assert network(torch.zeros(3, 28, 28, dtype=torch.uint8)).shape == (3, 10)
    assert sum(layer.residual for layer in network.modules() if isinstance(layer, ConvGroup)) == 3


def test_group_of_three_convolutions_is_residual():
    group = ConvGroup(4, 4, depth=3).eval()
    nn.init.zeros_(group.rest[-1].weight)  # the last norm outputs 0
    images = torch.randn(2, 4, 6, 6)
    assert torch.equal(group(images), group.first(images))
    assert group(images).shape == (2, 4, 3, 3)


def test_published_mlp_has_at_most_two_million_parameters():
    recipe = MNIST_RECIPES["published"]
    network = mnist_mlp([33.0], [78.0], hidden=recipe.widths, batch_norm=recipe.batch_norm)
    assert len(recipe.widths) == 2
    assert count_parameters(network) <= 2_000_000
    assert network(torch.zeros(2, 28, 28, dtype=torch.uint8)).shape == (2, 10)


def test_mnist_cnn_has_the_layers_of_the_course():
    network = mnist_cnn([33.0], [78.0])
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, layer.kernel_size) for layer in convolutions] == [(32, (3, 3)), (64, (3, 3))]
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in network) == 2
    assert [layer.out_features for layer in network if isinstance(layer, nn.Linear)] == [128, 10]
    assert network(torch.zeros(2, 28, 28, dtype=torch.uint8)).shape == (2, 10)


@pytest.mark.parametrize(
    "network",
    [
        cifar10_cnn(MEAN, STD, widths=(8, 8, 8), depth=3),
        cifar10_cnn(MEAN, STD, widths=(8, 8, 8), depth=2),
        mnist_mlp([33.0], [78.0], hidden=(16, 8), batch_norm=True),
        mnist_cnn([33.0], [78.0]),
    ],
    ids=["three", "two", "mlp", "simple"],
)
def test_folded_network_has_no_batch_norms_and_equal_logits(network):
    images = photos(8) if isinstance(network[1], ChannelsFirst) else photos(8)[:, 2:30, 2:30, 0]
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.bias)
    for _ in range(3):
        network.train()(images)  # updates the running statistics
    folded = fold_batch_norms(network)
    assert not any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), network.eval()(images), rtol=1e-4, atol=1e-5)


def test_norm_with_a_negative_weight_is_not_folded_past_a_pool():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.BatchNorm2d(2)).eval()
    network[2].weight.data[0] = -1.0
    images = torch.randn(2, 1, 10, 10)
    assert isinstance(fold_batch_norms(network)[2], nn.BatchNorm2d)
    with torch.inference_mode():
        torch.testing.assert_close(fold_batch_norms(network)(images), network(images))


def test_normalizer_shifts_and_scales_each_channel():
    normalized = PixelNormalizer(MEAN, STD)(photos(2)).numpy()
    expected = (photos(2).numpy().astype(np.float64) - MEAN) / STD
    assert np.allclose(normalized, expected, atol=1e-5)


def test_whitened_convolution_has_uncorrelated_outputs():
    images = photos(200).permute(0, 3, 1, 2).float() / 128 - 1
    convolution = nn.Conv2d(3, 24, 2, bias=False)
    whiten(convolution, images, epsilon=0.0)
    outputs = convolution(images).transpose(0, 1).flatten(start_dim=1)
    assert torch.allclose(outputs[:12] @ outputs[:12].T / outputs.shape[1], torch.eye(12), atol=1e-2)
    assert torch.allclose(outputs[12:], -outputs[:12], atol=1e-4)
    assert not convolution.weight.requires_grad


@pytest.mark.parametrize("epsilon", [1e-2, 1.0])
def test_whitening_epsilon_limits_the_amplification(epsilon):
    model = ZOO["cifar10"]
    network = make_network(model, replace(model.recipes["published"], whitening_epsilon=epsilon), model.load(DATA))
    whitening = next(layer for layer in network if isinstance(layer, nn.Conv2d))
    largest = whitening.weight.flatten(start_dim=1).norm(dim=1).max()
    assert 0.7 * epsilon**-0.5 < largest <= epsilon**-0.5


def test_later_convolutions_start_as_identities():
    network = cifar10_cnn(MEAN, STD)
    initialize(network, photos(8), epsilon=1e-2)
    convolution = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][1]
    features = torch.randn(2, 24, 9, 9)
    assert torch.allclose(convolution(features)[:, :24], features, atol=1e-5)


@pytest.mark.parametrize("network", [mnist_mlp([33.0], [78.0])])
def test_initialize_leaves_an_mlp_unchanged(network):
    before = [weights.clone() for weights in network.parameters()]
    initialize(network, torch.zeros(4, 28, 28, dtype=torch.uint8), epsilon=1e-2)
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "gelu", "sigmoid", "tanh"])
def test_mlp_has_the_activation_of_its_recipe(name):
    recipe = replace(ZOO["mnist"].recipes["course"], activation=name)
    network = ZOO["mnist"].build([33.0], [79.0], recipe)
    assert [type(layer).__name__.lower() for layer in network].count(name.replace("_", "")) == 2


def test_cnn_without_batch_norm_has_biases():
    network = ZOO["cifar10"].build([127.0] * 3, [64.0] * 3, replace(CIFAR10_RECIPES["course"], normalized=False))
    layers = list(network.modules())
    assert not [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    assert [layer.bias is not None for layer in layers if isinstance(layer, nn.Conv2d)] == [True] * 7
    assert network(photos(2)).shape == (2, 10)


@torch.inference_mode()
def test_centred_logits_have_mean_0_and_equal_probabilities():
    network = mnist_mlp([0.0], [255.0], hidden=(32,)).eval()
    images = torch.rand(5, 28, 28) * 255
    before = network(images)
    centre_logits(network)
    after = network(images)
    torch.testing.assert_close(after.mean(dim=1), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(after.softmax(dim=1), before.softmax(dim=1))
    assert before.mean(dim=1).abs().max() > 1e-3


@torch.no_grad()
def test_discount_subtracts_the_strength_from_all_logits():
    torch.manual_seed(0)
    network = mnist_mlp([0.0], [16.0], hidden=(64, 32)).eval()
    images = torch.rand(400, 28, 28) * torch.linspace(20, 255, 400)[:, None, None]
    before, strengths = network(images), network[:4](images).norm(dim=1)
    discount_strength(network, images[::2], images[1::2], discount=0.5)
    correction = before - network(images)
    torch.testing.assert_close(correction, correction[:, :1].expand(-1, 10), atol=1e-4, rtol=0)
    assert torch.corrcoef(torch.stack([correction[:, 0], strengths]))[0, 1] > 0.95
    assert correction[:, 0].std() / before[1::2].amax(dim=1).std() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize(("name", "recipe"), [("mnist-resnet", "published"), ("cifar10", "course")])
def test_strength_discount_is_rejected_for_other_networks(name, recipe):
    model = ZOO[name]
    data = model.load(DATA)
    with pytest.raises(TrainingError, match=r"strength_discount: expected an nn\.Sequential"):
        make_network(model, replace(model.recipes[recipe], strength_discount=0.25), data)


def test_centre_logits_skips_networks_without_a_linear_end():
    network = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
    weights = network[0].weight.clone()
    centre_logits(network)
    assert torch.equal(network[0].weight, weights)
