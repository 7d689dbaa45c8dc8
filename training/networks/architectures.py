"""Networks from raw pixels to logits; the exported graph has the preprocessing."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["relu", "leaky_relu", "gelu", "sigmoid", "tanh"]
ACTIVATIONS: Mapping[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,  # slope 0.01 below 0
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


class PixelNormalizer(nn.Module):
    """Shift and scale raw pixels by the statistics of the training split.

    Shape: (N, H, W) or (N, H, W, C), 0..255 -> the same shape, float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))  # buffers become constants of the graph
        self.register_buffer("std", torch.tensor(std))

    def forward(self, images: Tensor) -> Tensor:
        """Normalize a batch."""
        return (images.float() - self.mean) / self.std


class ChannelsFirst(nn.Module):
    """Permute (N, H, W, C) to (N, C, H, W), a channels_last view without a copy."""

    def forward(self, images: Tensor) -> Tensor:
        """Permute a batch."""
        return images.permute(0, 3, 1, 2)


class Scale(nn.Module):
    """Multiply by a constant; small initial logits make learning more stable."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        """Scale a batch."""
        return logits * self.factor


def mnist_mlp(
    mean: Sequence[float],
    std: Sequence[float],
    *,
    hidden: Sequence[int] = (256, 128),
    batch_norm: bool = False,
    activation: Activation = "relu",
    drop_rate: float = 0.3,
) -> nn.Sequential:
    """Multilayer perceptron: (N, 28, 28) uint8 -> (N, 10) logits."""
    layers: list[nn.Module] = [PixelNormalizer(mean, std), nn.Flatten()]
    widths = [28 * 28, *hidden]
    for width_in, width_out in pairwise(widths):
        layers.append(nn.Linear(width_in, width_out))
        if batch_norm:
            layers.append(nn.BatchNorm1d(width_out))
        layers += [ACTIVATIONS[activation](), nn.Dropout(drop_rate)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def mnist_cnn(mean: Sequence[float], std: Sequence[float], *, drop_rate: float = 0.3) -> nn.Sequential:
    """The course's SimpleCNN, with batch norm: (N, 28, 28) uint8 -> (N, 10) logits."""
    layers: list[nn.Module] = [PixelNormalizer(mean, std), nn.Unflatten(1, (1, 28))]
    for width_in, width_out in pairwise((1, 32, 64)):
        layers += [_conv(width_in, width_out), nn.MaxPool2d(2), nn.BatchNorm2d(width_out), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(64 * 7 * 7, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Dropout(drop_rate), nn.Linear(128, 10))
    return network.to(memory_format=torch.channels_last)  # trains almost twice as fast on a CPU


def mnist_resnet(
    mean: Sequence[float], std: Sequence[float], *, widths: Sequence[int] = (48, 96, 128), drop_rate: float = 0.2
) -> nn.Sequential:
    """Residual network (He et al. 2015): (N, 28, 28) uint8 -> (N, 10) logits."""
    groups = [ConvGroup(width_in, width_out, depth=3) for width_in, width_out in pairwise([1, *widths])]
    head = [nn.MaxPool2d(3), nn.Flatten(), nn.Dropout(drop_rate), nn.Linear(widths[-1], 10)]
    network = nn.Sequential(PixelNormalizer(mean, std), nn.Unflatten(1, (1, 28)), *groups, *head)
    return network.to(memory_format=torch.channels_last)


class ConvGroup(nn.Module):
    """Two or three 3x3 convolutions, with optional batch norm and one max pool.

    With three, the last two are a residual block (He et al. 2015). Shape: (N, C, H, W) -> (N, width, H // 2, W // 2).
    """

    def __init__(self, channels: int, width: int, *, depth: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.residual = depth == 3

        def conv(channels: int) -> nn.Conv2d:
            return _conv(channels, width, bias=not batch_norm)

        def norm() -> nn.Module:
            return nn.BatchNorm2d(width) if batch_norm else nn.Identity()

        self.first = nn.Sequential(conv(channels), nn.MaxPool2d(2), norm(), nn.ReLU())
        self.rest = nn.Sequential(conv(width), norm())
        for _ in range(depth - 2):
            self.rest.extend([nn.ReLU(), conv(width), norm()])

    def forward(self, images: Tensor) -> Tensor:
        """Transform a batch."""
        pooled = self.first(images)
        out = self.rest(pooled)
        return functional.relu(out + pooled if self.residual else out)


def cifar10_cnn(
    mean: Sequence[float],
    std: Sequence[float],
    *,
    widths: Sequence[int] = (64, 256, 256),
    depth: int = 2,
    batch_norm: bool = True,
) -> nn.Sequential:
    """CNN after airbench96 (Jordan 2024): (N, 32, 32, 3) uint8 -> (N, 10) logits.

    Layers: a 2x2 convolution, initialized by :func:`training.networks.initialization.whiten`; three groups of ``depth``
    3x3 convolutions, each of which halves the image; one linear layer. Batch norm learns only its biases.
    """
    whitening = nn.Conv2d(3, 24, 2)  # 2 * 3 * 2 * 2: every direction of a patch and its opposite
    groups = [
        ConvGroup(width_in, width_out, depth=depth, batch_norm=batch_norm)
        for width_in, width_out in pairwise([24, *widths])
    ]
    head = [nn.MaxPool2d(3), nn.Flatten(), nn.Linear(widths[-1], 10, bias=False), Scale(1 / 9)]
    network = nn.Sequential(PixelNormalizer(mean, std), ChannelsFirst(), whitening, nn.ReLU(), *groups, *head)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.requires_grad = False
    return network


def count_parameters(network: nn.Module) -> int:
    """Count the parameters, including those that whitening fixed."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.inference_mode()
def count_multiply_adds(network: nn.Module, images: Tensor) -> int:
    """Count the multiply-adds of convolutions and linear layers for one image.

    Args:
        network: is switched to evaluation mode.
        images: a batch of one image, in the network's input shape.
    """
    total = 0

    def count(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        total += output.numel() * layer.weight[0].numel()  # each output value is a dot product with one filter

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    network.eval()(images)
    for hook in hooks:
        hook.remove()
    return total


def _conv(in_channels: int, out_channels: int, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding="same", bias=bias)  # no bias by default: batch norm has one
