"""Corruptions: each changes images as its definition says."""

import colorsys

import numpy as np
import pytest
from scipy import ndimage
from support.samples import split

from training.evaluation.robustness import digit_corruptions, photo_corruptions
from training.evaluation.robustness.corrupted_images import NOISE, STANDARD, corrupt
from training.evaluation.robustness.corruption import (
    blur,
    gaussian_noise,
    impulse_noise,
    motion_blur,
    plasma,
    shuffle_pixels,
)

GREY = np.full((40, 32, 32, 3), 0.5)


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("name", "preparation", "severities"), [("cifar10", "photo", 5), ("mnist", "digit", 1)])
def test_data_set_has_15_corruptions_in_its_severities(name, preparation, severities):
    images = split(name).images[:4].numpy()
    assert len(STANDARD[preparation]) == 15
    for title, corruption in STANDARD[preparation].items():
        corrupted = list(corrupt(title, corruption, images))
        assert len(corrupted) == severities
        for batch in corrupted:
            assert (batch.shape, batch.dtype) == (images.shape, np.uint8)
            assert (batch != images).any(), title


@pytest.mark.parametrize(
    "title", ["Gaussian noise", "shot noise", "impulse noise", "fog", "brightness", "contrast", "JPEG", "pixelate"]
)
def test_severities_increase(title):
    images = split("cifar10").images[:20].numpy()
    corrupted = corrupt(title, STANDARD["photo"][title], images)
    changes = [np.abs(batch.astype(float) - images).mean() for batch in corrupted]
    assert changes == sorted(changes)


def test_corrupted_images_depend_only_on_the_name():
    images, noise = split("mnist").images[:3].numpy(), NOISE["noise, sigma 20"]
    (first,), (second,), (other,) = (corrupt(name, noise, images) for name in ("a", "a", "b"))
    assert (first == second).all()
    assert (first != other).any()


def test_gaussian_noise_has_its_standard_deviation(random):
    assert (gaussian_noise(GREY, random, 0.1) - GREY).std() == pytest.approx(0.1, rel=0.02)


def test_impulse_noise_changes_its_share_to_black_and_white(random):
    values = impulse_noise(GREY, random, 0.2)
    assert [(values == value).mean() for value in (0, 1)] == pytest.approx([0.1, 0.1], abs=0.01)
    assert set(np.unique(values)) == {0, 0.5, 1}


@pytest.mark.parametrize(("angle", "row", "column"), [(0, 16, 13), (-90, 19, 16), (45, 14, 14)])
def test_motion_blur_smears_along_its_angle(angle, row, column):
    image = np.zeros((1, 32, 32))
    image[0, 16, 16] = 1
    blurred = motion_blur(image, np.array([angle]), 6, 2)[0]
    assert blurred.sum() == pytest.approx(1)
    assert blurred[16, 16] > blurred[row, column] > 0
    assert blurred[32 - row, 32 - column] == 0  # on the other side


def test_plasma_is_rougher_for_a_smaller_decay(random):
    smooth, rough = (plasma(random, 20, 32, decay) for decay in (3, 1.5))
    assert smooth.min() == rough.min() == 0
    assert smooth.max() == rough.max() == 1
    steps = [np.abs(np.diff(maps, axis=2)).mean() for maps in (smooth, rough)]
    assert steps[1] > 2 * steps[0]


def test_shuffled_pixels_come_from_neighbours(random):
    image = np.arange(28.0 * 28).reshape(1, 28, 28)
    exchanged = shuffle_pixels(image, random, 1, share=1.0, swap=True)
    assert (np.sort(exchanged, axis=None) == image.ravel()).all()
    copied = shuffle_pixels(image, random, 1, share=1.0, swap=False)
    assert len(np.unique(copied)) < image.size
    assert (shuffle_pixels(image, random, 1, share=0.0, swap=True) == image).all()


@pytest.mark.parametrize("factor", [1.01, 1.07, 1.25, 2.25])
def test_zoom_interpolates_as_scipy_does(random, factor):
    images = random.random((2, 32, 32, 3))
    inner = int(np.ceil(32 / factor))
    start = (32 - inner) // 2
    crop = images[:, start : start + inner, start : start + inner]
    zoomed = ndimage.zoom(crop, (1, factor, factor, 1), order=1)
    trim = (zoomed.shape[1] - 32) // 2
    expected = zoomed[:, trim : trim + 32, trim : trim + 32]
    assert photo_corruptions.zoom(images, factor) == pytest.approx(expected)


def test_brightness_adds_to_the_value_in_hsv(random):
    images = random.random((1, 8, 8, 3))
    images[0, 0, 0] = 0
    brighter = photo_corruptions.brightness(images, random, 0.2).reshape(-1, 3)
    for pixel, found in zip(images.reshape(-1, 3), brighter, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        assert found == pytest.approx(colorsys.hsv_to_rgb(hue, saturation, min(value + 0.2, 1)))


def test_contrast_keeps_the_mean(random):
    images = random.random((2, 8, 8, 3))
    weaker = photo_corruptions.contrast(images, random, 0.25)
    assert weaker.mean(axis=(1, 2)) == pytest.approx(images.mean(axis=(1, 2)))
    assert weaker.std() < images.std()


def test_defocus_of_radius_one_averages_five_pixels(random):
    image = np.zeros((1, 9, 9, 3))
    image[0, 4, 4] = 1
    blurred = photo_corruptions.defocus_blur(image, random, 1, 0.01)[0, :, :, 0]
    assert [blurred[4, 4], blurred[4, 5], blurred[3, 4], blurred[3, 3]] == pytest.approx([0.2, 0.2, 0.2, 0])


def test_canny_edges_outline_a_square(random):
    image = np.zeros((1, 28, 28))
    image[0, 8:20, 8:20] = 1
    (edges,) = digit_corruptions.canny_edges(image, random)
    assert edges[8:20, 8:20][2:-2, 2:-2].sum() == 0
    assert edges[:6].sum() == edges[:, :6].sum() == 0
    assert (edges[12:16].sum(axis=1) >= 2).all()


def test_stripe_inverts_both_outer_quarters(random):
    striped = digit_corruptions.stripe(np.zeros((1, 28, 28)), random)
    assert striped[0].mean(axis=0).tolist() == [1] * 7 + [0] * 14 + [1] * 7


def test_dotted_line_crosses_the_image_with_gaps(random):
    (line,) = digit_corruptions.dotted_line(np.zeros((1, 28, 28)), random)
    assert [bool(column) for column in line.max(axis=0) > 0.5][:8] == [False, False, True, True] * 2
    assert (line.argmax(axis=0)[[2, 26]] >= 0).all()


@pytest.mark.parametrize("name", ["shear", "scale", "rotate", "translate"])
def test_affine_corruptions_keep_the_ink_of_a_small_digit(random, name):
    image = blur(np.pad(np.ones((1, 8, 4)), ((0, 0), (10, 10), (12, 12))), 1)
    corruption = digit_corruptions.DIGIT_CORRUPTIONS[name]
    (moved,) = corruption.function(image, random, *corruption.severities[0])
    ratio = {"scale": 0.7**2, "shear": 1 / np.cos(0.4)}.get(name, 1)
    assert moved.sum() == pytest.approx(image.sum() * ratio, rel=0.02)
    centre = ndimage.center_of_mass(moved)
    expected = (3, 3) if name == "translate" else (0, 0)
    assert np.abs(np.subtract(centre, 13.5)) == pytest.approx(expected, abs=0.1)
