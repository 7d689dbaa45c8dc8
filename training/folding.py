"""Fold batch norms into the layers before them: the same function, fewer steps, and what a quantiser expects."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy, in evaluation mode, whose batch norms are part of the convolution or linear layer before them.

    A max pool between them does not mind: batch norm with positive weights keeps the order of values.
    """
    folded = copy.deepcopy(network).eval()
    for sequence in folded.modules():
        if isinstance(sequence, nn.Sequential):
            _fold(sequence)
    return folded


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
