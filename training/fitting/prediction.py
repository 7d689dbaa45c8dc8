"""Predictions of a network outside training."""

import torch
from torch import Tensor, nn


@torch.inference_mode()
def predict_logits(network: nn.Module, images: Tensor, *, batch_size: int = 1024) -> Tensor:
    """Compute logits in evaluation mode: (N, ...) uint8 -> (N, K) float32."""
    network.eval()
    return torch.cat([network(batch).float() for batch in torch.split(images, batch_size)])


def compute_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the accuracy of (N, K) logits, 0..1."""
    return float((logits.argmax(dim=1) == labels).float().mean())
