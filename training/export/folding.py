"""Fold what could be steps of their own into the layer before: batch norms, and what is taken off the logits."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from training.errors import TrainingError
from training.fitting.prediction import predict_logits


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy, in evaluation mode, whose batch norms are part of the convolution or linear layer before them.

    It is the same function in fewer steps, and what a quantiser expects.

    A max pool between them does not mind: batch norm with positive weights keeps the order of values.
    """
    folded = copy.deepcopy(network).eval()
    for sequence in folded.modules():
        if isinstance(sequence, nn.Sequential):
            _fold(sequence)
    return folded


@torch.no_grad()
def centre_logits(network: nn.Module) -> None:
    """Let a sequence of layers that ends in a linear one give logits of mean 0, where training left it to chance.

    Softmax does not see it; what compares the logits of one image with another's, as familiarity does, tells more
    without it.
    """
    last = network[-1] if isinstance(network, nn.Sequential) else None
    if isinstance(last, nn.Linear):
        for parameter in last.parameters():
            parameter.sub_(parameter.mean(dim=0))


@torch.no_grad()
def discount_strength(network: nn.Module, train: Tensor, val: Tensor, *, discount: float) -> None:
    """Take off all logits alike what they owe to an image's strength: how strongly it drives the first layer.

    Bold strokes make large logits, of a letter too, and faint ones small logits, of a digit too; so Zhang and Xiang
    (2023) decouple a logit's cosine from its norms. Strength is the norm of what the first activation gives. A ridge
    regression tells it from the features before the last layer, which can so subtract it at no cost; softmax does not
    see it.

    Args:
        network: see strength_parts; is left in evaluation mode.
        train: images to learn from what the strength is, (N, ...).
        val: other images, whose largest logits and strengths are brought to one scale.
        discount: standard deviations of the largest logit that are taken off for one of strength.
    """
    early, late, last = strength_parts(network)
    hidden = predict_logits(early, train)
    strengths = _strength(hidden).double()
    features = functional.pad(predict_logits(late, hidden), (0, 1), value=1.0).double()
    gram = features.T @ features + torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    weights = torch.linalg.solve(gram, features.T @ strengths)
    scale = predict_logits(network, val).amax(dim=1).std() / _strength(predict_logits(early, val)).std()
    taken = (discount * scale * weights).float()
    last.weight.sub_(taken[:-1])
    last.bias.sub_(taken[-1])


def strength_parts(network: nn.Module) -> tuple[nn.Sequential, nn.Sequential, nn.Linear]:
    """Part a network after its first activation, which tells strength, and before the last layer, which discounts it.

    Raises:
        TrainingError: it is not made of layers in a row with a ReLU among them and a linear one at the end.
    """
    layers = list(network) if isinstance(network, nn.Sequential) else []
    ends = [index + 1 for index, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
    if not ends or not isinstance(last := layers[-1], nn.Linear):
        raise TrainingError(
            "strength_discount: expected layers in a row, a ReLU among them and a linear one at the end, as in an MLP; "
            "elsewhere leave it at 0"
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
