"""The preparations center-crop and squash against torchvision's evaluation transforms."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from models.card import ResizeParameters
from models.preparation.preparer import draft_side, prepared_check, preparer

SIZES = [(1, 1), (7, 300), (224, 224), (223, 225), (256, 256), (331, 500), (500, 333), (640, 427), (97, 98), (30, 31)]
INTERPOLATIONS = ("nearest", "box", "bilinear", "bicubic", "lanczos")
RANDOM = np.random.default_rng(0)


def noise(width, height, mode="RGB"):
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(RANDOM.integers(0, 256, shape, np.uint8))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("side", [224, 256, 24])
@pytest.mark.parametrize("crop", [(224, 224), (32, 57), (33, 20)])
def test_center_crop_equals_torchvision(crop, side, interpolation):
    resize = v2.Resize(side, interpolation=InterpolationMode(interpolation), antialias=True)
    expected = v2.Compose([resize, v2.CenterCrop(crop)])
    prepare = preparer("center-crop", (*crop, 3), ResizeParameters(side=side, interpolation=interpolation))
    for size in SIZES if max(crop) < 224 or interpolation == "bilinear" else SIZES[-4:]:
        if max(size) > 16 * min(size):
            continue
        picture = noise(*size)
        np.testing.assert_array_equal(prepare(picture), np.asarray(expected(picture)), err_msg=str(size))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_squash_equals_torchvision(interpolation):
    expected = v2.Resize((48, 64), interpolation=InterpolationMode(interpolation), antialias=True)
    prepare = preparer("squash", (48, 64, 3), ResizeParameters(interpolation=interpolation))
    for size in [*SIZES, (64, 48)]:
        picture = noise(*size)
        np.testing.assert_array_equal(prepare(picture), np.asarray(expected(picture)), err_msg=str(size))


def test_grey_model_gets_the_luminance_of_a_colour_picture():
    picture, parameters = noise(50, 40), ResizeParameters(side=32, interpolation="bilinear")
    expected = v2.Compose([v2.Resize(32, antialias=True), v2.CenterCrop(28)])(picture.convert("L"))
    np.testing.assert_array_equal(preparer("center-crop", (28, 28), parameters)(picture), np.asarray(expected))


def test_colour_model_gets_a_grey_picture_in_three_channels():
    prepared = preparer("squash", (8, 8, 3), ResizeParameters(interpolation="box"))(noise(9, 9, "L"))
    assert prepared.shape == (8, 8, 3)
    assert (prepared == prepared[:, :, :1]).all()


@pytest.mark.parametrize("size", [(10, 171), (171, 10), (7, 300), (300, 7)])
def test_elongated_picture_is_nearly_as_by_torchvision(size):
    picture = noise(*size).resize(size, Image.Resampling.BICUBIC)
    expected = np.asarray(v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])(picture)).astype(int)
    found = preparer("center-crop", (224, 224, 3), ResizeParameters(side=256, interpolation="bilinear"))(picture)
    assert np.abs(found - expected).max() <= 8


@pytest.mark.parametrize("size", [(65_535, 2), (2, 65_535)])
def test_elongated_picture_is_cut_before_the_resize(size):
    picture, parameters = noise(*size), ResizeParameters(side=256, interpolation="bilinear")
    width, height = (min(side, 33 if side > 2 else 2) for side in size)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    middle = picture.crop((left, top, left + width, top + height))
    prepare = preparer("center-crop", (224, 224, 3), parameters)
    np.testing.assert_array_equal(prepare(picture), prepare(middle))


@pytest.mark.parametrize(
    ("preparation", "side", "shape"),
    [("center-crop", 24, (24, 32, 3)), ("center-crop", 30, (24, 32, 3)), ("squash", None, (24, 32, 3))],
)
def test_only_pixels_that_the_resize_keeps_count_as_prepared(preparation, side, shape):
    parameters = ResizeParameters(side=side, interpolation="bicubic")
    prepare = preparer(preparation, shape, parameters)
    is_prepared = prepared_check(preparation, shape, parameters)
    pixels = np.asarray(noise(32, 24))
    assert is_prepared(pixels) == np.array_equal(prepare(Image.fromarray(pixels)), pixels) == (side != 30)
    assert not is_prepared(np.asarray(noise(24, 24)))
    assert not is_prepared(np.asarray(noise(32, 24, "L")))


def test_jpeg_is_decoded_in_full_size():
    assert draft_side("center-crop", (224, 224, 3)) is None
    assert draft_side("squash", (224, 224, 3)) is None


@pytest.mark.parametrize("shape", [(3, 24, 24), (24,), (24, 24, 4)])
def test_resize_rejects_an_unsupported_shape(shape):
    with pytest.raises(ValueError, match=r"expected image shape \(H, W\) or \(H, W, 3\)"):
        preparer("squash", shape, ResizeParameters(interpolation="box"))


def test_resize_without_parameters_is_rejected():
    with pytest.raises(ValueError, match="expected parameters of the resize"):
        preparer("squash", (8, 8, 3))
