"""Folding of batch norms and logit corrections into the weights of layers."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from training.errors import TrainingError
from training.fitting.prediction import predict_logits


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy, in evaluation mode, with folded batch norms.

    The copy computes the same function with fewer operations, as quantizers expect. A max pool may lie between layer
    and batch norm if the batch norm's weights are positive, because they keep the order of values.
    """
    folded = copy.deepcopy(network).eval()
    for sequence in folded.modules():
        if isinstance(sequence, nn.Sequential):
            _fold(sequence)
    return folded


@torch.no_grad()
def centre_logits(network: nn.Module) -> None:
    """Change the last linear layer so that the logits of each image have mean 0.

    Training leaves this mean arbitrary. Softmax does not depend on it, but familiarity compares the logits of different
    images and is more accurate without it. Networks that do not end in a linear layer are left unchanged.
    """
    last = network[-1] if isinstance(network, nn.Sequential) else None
    if isinstance(last, nn.Linear):
        for parameter in last.parameters():
            parameter.sub_(parameter.mean(dim=0))


@torch.no_grad()
def discount_strength(network: nn.Module, train: Tensor, val: Tensor, *, discount: float) -> None:
    """Subtract from the logits their linear dependence on image strength.

    Strength is the norm of the first layer's activations.

    Bold strokes give large logits, even for a letter, and faint strokes small ones, even for a digit; Zhang and Xiang
    (2023) decouple a logit's cosine from its norms for this reason. A ridge regression predicts the strength from the
    features before the last layer, so this layer can subtract it from all logits at no cost. Softmax does not change.

    Args:
        network: see split_at_first_relu; is switched to evaluation mode.
        train: images for the regression, (N, ...).
        val: other images, for the standard deviations of largest logits and strengths.
        discount: standard deviations of the largest logit to subtract per standard deviation of strength.
    """
    early, late, last = split_at_first_relu(network)
    hidden = predict_logits(early, train)
    strengths = _strength(hidden).double()
    features = functional.pad(predict_logits(late, hidden), (0, 1), value=1.0).double()
    gram = features.T @ features + torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    weights = torch.linalg.solve(gram, features.T @ strengths)
    scale = predict_logits(network, val).amax(dim=1).std() / _strength(predict_logits(early, val)).std()
    correction = (discount * scale * weights).float()
    last.weight.sub_(correction[:-1])
    last.bias.sub_(correction[-1])


def split_at_first_relu(network: nn.Module) -> tuple[nn.Sequential, nn.Sequential, nn.Linear]:
    """Split a network after its first ReLU and before its last layer.

    Strength is measured after the ReLU.

    Raises:
        TrainingError: the network is not an ``nn.Sequential`` with a ReLU and a final linear layer.
    """
    layers = list(network) if isinstance(network, nn.Sequential) else []
    ends = [index + 1 for index, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
    if not ends or not isinstance(last := layers[-1], nn.Linear):
        raise TrainingError(
            "strength_discount: expected an nn.Sequential with a ReLU and a final linear layer, as in an MLP; "
            "set it to 0 for other networks"
        )
    return nn.Sequential(*layers[: ends[0]]), nn.Sequential(*layers[ends[0] : -1]), last


def _strength(hidden: Tensor) -> Tensor:
    return hidden.flatten(1).square().sum(dim=1).sqrt()


def _fold(sequence: nn.Sequential) -> None:
    layers = list(sequence)
    for index, norm in enumerate(layers):
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        before = index - 1
        if isinstance(layers[before], nn.MaxPool2d) and bool((norm.weight > 0).all()):
            before -= 1
        if before < 0:
            continue
        layer = layers[before]
        if isinstance(layer, nn.Conv2d):
            sequence[before] = fuse_conv_bn_eval(layer, norm)
        elif isinstance(layer, nn.Linear):
            sequence[before] = fuse_linear_bn_eval(layer, norm)
        else:
            continue
        sequence[index] = nn.Identity()
