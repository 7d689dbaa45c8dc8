"""Muon: orthogonal steps of hidden weights, AdamW for the rest, and resuming."""

import copy

import pytest
import torch
from torch import nn

from training.fitting.muon import UPDATE_RMS, Muon, hidden_weights, orthogonalize

LR = 0.01


def network():
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(24, 8), nn.Linear(8, 3))
    return nn.Sequential(*layers)


def make(model):
    groups = [{"params": list(model.parameters()), "weight_decay": 0.0}]
    return Muon(groups, hidden_weights(model), lr=LR, momentum=0.9)


def step(model, optimizer, *, seed=1):
    images = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model(images).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("shape", [(6, 36), (40, 7), (8, 8)])
def test_orthogonalize_keeps_the_singular_vectors(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.T @ orthogonalize(matrix) @ right.T
    assert inside.diagonal().min() > 0.6
    assert inside.diagonal().max() < 1.3
    assert (inside - inside.diagonal().diag()).abs().max() < 0.15


def test_hidden_weights_exclude_the_first_and_last_layer():
    model = network()
    assert [id(weight) for weight in hidden_weights(model)] == [id(model[2].weight), id(model[4].weight)]


def test_hidden_steps_are_as_long_as_those_of_adam():
    model = network()
    before = copy.deepcopy(model)
    for weight in model.parameters():
        weight.grad = 1e-4 * torch.randn(weight.shape)
    make(model).step()
    for moved, old in zip(hidden_weights(model), hidden_weights(before), strict=True):
        moves = (moved - old).detach() / LR
        assert float(moves.square().mean().sqrt()) == pytest.approx(UPDATE_RMS, rel=0.3)


def test_other_parameters_take_the_steps_of_adamw():
    model, other = network(), network()
    step(model, make(model))
    step(other, torch.optim.AdamW(other.parameters(), lr=LR, weight_decay=0.0))
    for number in (0, 5):
        torch.testing.assert_close(model[number].weight, other[number].weight)
        torch.testing.assert_close(model[number].bias, other[number].bias)


def test_muon_resumes_from_its_state():
    model = network()
    optimizer = make(model)
    step(model, optimizer)
    other = copy.deepcopy(model)
    resumed = make(other)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(model, optimizer, seed=2)
    step(other, resumed, seed=2)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two)
