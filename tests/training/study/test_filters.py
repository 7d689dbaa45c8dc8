"""What a CNN looks for, read from a graph."""

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


def test_the_filters_are_the_weights_of_the_first_convolution():
    assert read_filters(CNN).shape == (32, 1, 3, 3)


def test_the_feature_maps_are_what_the_filters_make_of_the_image():
    (first, second), (moved, _) = (compute_feature_maps(CNN, image) for image in (digit(), np.roll(digit(), 2, axis=1)))
    assert (first.shape, second.shape) == ((32, 14, 14), (64, 7, 7))
    assert first.min() == 0
    inner = slice(1, -2)  # two pixels are one cell after pooling; beyond the frame there is padding
    assert np.abs(moved[:, inner, 2:-1] - first[:, inner, 1:-2]).max() < 1e-5
    assert np.ptp(first, axis=(1, 2)).max() > 1


def test_a_network_without_convolutions_has_none(tmp_path):
    with pytest.raises(NoConvolutionError, match="no convolution"):
        read_filters(publish_tiny_model(tmp_path, "small") / "model.onnx")


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_filters_of_any_channels_are_drawn(tmp_path, channels):
    draw_filters(
        tmp_path / "filters.png", np.random.default_rng(0).normal(size=(13, channels, 3, 3)).astype(np.float32)
    )
    with Image.open(tmp_path / "filters.png") as figure:
        assert figure.width > 800


def test_each_image_has_a_row_a_size(tmp_path):
    heights = []
    for images in ([digit()], [digit()] * 2):
        draw_feature_maps(tmp_path / "maps.png", CNN, images)
        with Image.open(tmp_path / "maps.png") as figure:
            heights.append(figure.height)
    assert heights[1] == 2 * heights[0]


def test_the_command_draws_both(tmp_path, capsys):
    assert main(["filters", "mnist-cnn", "--data-dir", str(DATA), "--out", str(tmp_path / "new")]) == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"mnist-cnn.png", "mnist-cnn-maps.png"}
    assert main(["filters", "mnist", "--data-dir", str(DATA), "--out", str(tmp_path)]) == 1
    assert "no convolution" in capsys.readouterr().err
