"""Tests of filters and feature maps from a graph."""

import numpy as np
import pytest
from PIL import Image
from support.exported_models import publish_tiny_model
from support.paths import DATA, ROOT

from training.__main__ import main
from training.study.filters import (
    NoConvolutionError,
    compute_feature_maps,
    draw_feature_maps,
    draw_filters,
    read_filters,
)

CNN = ROOT / "models" / "mnist-cnn" / "1" / "model.onnx"


def digit():
    with Image.open(ROOT / "tests" / "images" / "mnist-7.png") as image:
        return np.asarray(image)


def test_read_filters_returns_the_first_convolution():
    assert read_filters(CNN).shape == (32, 1, 3, 3)


def test_feature_maps_shift_with_the_image():
    (first, second), (shifted, _) = (
        compute_feature_maps(CNN, image) for image in (digit(), np.roll(digit(), 2, axis=1))
    )
    assert (first.shape, second.shape) == ((32, 14, 14), (64, 7, 7))
    assert first.min() == 0
    inner = slice(1, -2)  # two pixels are one cell after pooling; the edge has padding
    assert np.abs(shifted[:, inner, 2:-1] - first[:, inner, 1:-2]).max() < 1e-5
    assert np.ptp(first, axis=(1, 2)).max() > 1


def test_read_filters_raises_without_a_convolution(tmp_path):
    with pytest.raises(NoConvolutionError, match="no convolution"):
        read_filters(publish_tiny_model(tmp_path, "small") / "model.onnx")


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_draw_filters_accepts_any_channels(tmp_path, channels):
    draw_filters(
        tmp_path / "filters.png", np.random.default_rng(0).normal(size=(13, channels, 3, 3)).astype(np.float32)
    )
    with Image.open(tmp_path / "filters.png") as figure:
        assert figure.width > 800


def test_each_image_has_one_row_per_size(tmp_path):
    heights = []
    for images in ([digit()], [digit()] * 2):
        draw_feature_maps(tmp_path / "maps.png", CNN, images)
        with Image.open(tmp_path / "maps.png") as figure:
            heights.append(figure.height)
    assert heights[1] == 2 * heights[0]


def test_command_draws_filters_and_feature_maps(tmp_path, capsys):
    assert main(["filters", "mnist-cnn", "--data-dir", str(DATA), "--out", str(tmp_path / "new")]) == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"mnist-cnn.png", "mnist-cnn-maps.png"}
    assert main(["filters", "mnist", "--data-dir", str(DATA), "--out", str(tmp_path)]) == 1
    assert "no convolution" in capsys.readouterr().err
