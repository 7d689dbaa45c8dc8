"""Fold what could be steps of their own into the layer before: batch norms, and taking the mean off the logits."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


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
