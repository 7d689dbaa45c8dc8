"""Outliers made of a batch, and the loss that separates them from its images."""

import pytest
import torch

from training.fitting.outlier_exposure import ENERGY_THRESHOLD, exposure_loss, make_outliers

REORIENTED = slice(60)  # of 100 outliers
COMPOSED, DISTORTED, OVERLAID, CUT_OFF = (slice(start, start + 10) for start in range(60, 100, 10))


def orientations(image):
    """Return the eight orientations of a square image, the original first."""
    return [way.rot90(turns) for way in (image, image.fliplr()) for turns in range(4)]


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(100, 28, 28) * 255


def test_outliers_are_as_many_as_images(images):
    for count in (1, 2, 3, 13, 100):
        assert make_outliers(images[:count]).shape == (count, 28, 28)


def test_outliers_differ_from_all_images_and_keep_their_range(images):
    outliers = make_outliers(images)
    assert not (outliers[:, None] == images).all(dim=(2, 3)).any()
    assert (outliers.min(), outliers.max()) >= (0, 200)
    assert outliers.max() <= 255


def test_60_percent_are_rotated_or_mirrored_in_seven_ways(images):
    ways = set()
    for image, outlier in zip(images[REORIENTED], make_outliers(images)[REORIENTED], strict=True):
        (way,) = [number for number, way in enumerate(orientations(image)) if way.equal(outlier)]
        ways.add(way)
    assert ways == set(range(1, 8))


def test_10_percent_are_composed_of_quarters_of_images(images):
    for whole in make_outliers(images)[COMPOSED]:
        corners = [(slice(0, 11), slice(0, 11)), (slice(0, 11), slice(17, 28))]
        corners += [(slice(17, 28), slice(0, 11)), (slice(17, 28), slice(17, 28))]
        taken = [next(i for i, image in enumerate(images) if image[corner].equal(whole[corner])) for corner in corners]
        pixels = torch.stack([whole == images[number] for number in taken])
        assert pixels.any(dim=0).all()
        assert len(set(taken)) > 1


def test_10_percent_are_distorted_independently():
    same = torch.zeros(100, 28, 28)
    same[:, 8:20, 12:16] = 255  # an upright bar
    distorted = make_outliers(same)[DISTORTED]
    assert len(distorted.unique(dim=0)) == 10
    changed = (distorted - same[:10]).abs().flatten(1).sum(dim=1) / same[0].sum()
    assert changed.median() > 0.5


def test_10_percent_are_overlaid_with_another_image(images):
    sparse = images * (images > 200)
    for image, both in zip(sparse[OVERLAID], make_outliers(sparse)[OVERLAID], strict=True):
        assert (both >= image).all()
        assert (both > image).float().mean() > 0.1


def test_10_percent_are_cut_off_near_their_centre(images):
    for image, half in zip(images[CUT_OFF], make_outliers(images)[CUT_OFF], strict=True):
        kept = half > 0
        assert half[kept].equal(image[kept])
        assert 0.2 < kept.float().mean() < 0.8


def test_outliers_depend_only_on_the_seed(images):
    torch.manual_seed(1)
    first = make_outliers(images)
    assert not make_outliers(images).equal(first)
    torch.manual_seed(1)
    assert make_outliers(images).equal(first)


def test_exposure_loss_is_0_when_energies_separate_outliers():
    logits = torch.full((6, 10), ENERGY_THRESHOLD - 40)
    logits[:4, 3] = ENERGY_THRESHOLD + 40
    assert float(exposure_loss(logits, num_inliers=4)) < 1e-6
    assert float(exposure_loss(logits, num_inliers=6)) > 10  # two outliers have large logits
    assert float(exposure_loss(logits, num_inliers=2)) > 10  # two training images have large logits


def test_exposure_loss_favours_no_class():
    logits = torch.zeros(4, 10, requires_grad=True)
    exposure_loss(logits, num_inliers=2).backward()
    assert (logits.grad[:2] < 0).all()  # a step increases these logits and decreases those below
    assert (logits.grad[2:] > 0).all()
    assert logits.grad.std(dim=1).max() < 1e-7  # equally for all classes
