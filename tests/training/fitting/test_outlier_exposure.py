"""Outliers made of a batch, each in its way, and what tells them from the batch's own images."""

import pytest
import torch

from training.fitting.outlier_exposure import BORDER, exposure_loss, outliers_of

TURNED = slice(60)  # of the hundred images
PUT_TOGETHER, DISTORTED, LAID_OVER, CUT_OFF = (slice(start, start + 10) for start in range(60, 100, 10))


def orientations(image):
    """Every way to lay a square on itself, the image's own first."""
    return [way.rot90(turns) for way in (image, image.fliplr()) for turns in range(4)]


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(100, 28, 28) * 255


def test_there_are_as_many_as_images(images):
    for count in (1, 2, 3, 13, 100):
        assert outliers_of(images[:count]).shape == (count, 28, 28)


def test_none_of_them_is_one_of_the_images_and_all_have_their_range(images):
    outliers = outliers_of(images)
    assert not (outliers[:, None] == images).all(dim=(2, 3)).any()
    assert (outliers.min(), outliers.max()) >= (0, 200)
    assert outliers.max() <= 255


def test_six_tenths_of_them_are_turned_or_mirrored_in_all_seven_ways(images):
    ways = set()
    for image, turned in zip(images[TURNED], outliers_of(images)[TURNED], strict=True):
        (way,) = [number for number, way in enumerate(orientations(image)) if way.equal(turned)]
        ways.add(way)
    assert ways == set(range(1, 8))


def test_a_tenth_are_quarters_of_several_in_their_own_places(images):
    for whole in outliers_of(images)[PUT_TOGETHER]:
        corners = [(slice(0, 11), slice(0, 11)), (slice(0, 11), slice(17, 28))]
        corners += [(slice(17, 28), slice(0, 11)), (slice(17, 28), slice(17, 28))]
        taken = [next(i for i, image in enumerate(images) if image[corner].equal(whole[corner])) for corner in corners]
        pixels = torch.stack([whole == images[number] for number in taken])
        assert pixels.any(dim=0).all()
        assert len(set(taken)) > 1


def test_a_tenth_are_distorted_each_in_its_own_way():
    same = torch.zeros(100, 28, 28)
    same[:, 8:20, 12:16] = 255  # an upright bar
    distorted = outliers_of(same)[DISTORTED]
    assert len(distorted.unique(dim=0)) == 10
    changed = (distorted - same[:10]).abs().flatten(1).sum(dim=1) / same[0].sum()
    assert changed.median() > 0.5


def test_a_tenth_have_another_image_drawn_over_them(images):
    sparse = images * (images > 200)
    for image, both in zip(sparse[LAID_OVER], outliers_of(sparse)[LAID_OVER], strict=True):
        assert (both >= image).all()
        assert (both > image).float().mean() > 0.1


def test_a_tenth_are_cut_off_near_their_middle(images):
    for image, half in zip(images[CUT_OFF], outliers_of(images)[CUT_OFF], strict=True):
        kept = half > 0
        assert half[kept].equal(image[kept])
        assert 0.2 < kept.float().mean() < 0.8


def test_a_seed_decides_them(images):
    torch.manual_seed(1)
    first = outliers_of(images)
    assert not outliers_of(images).equal(first)
    torch.manual_seed(1)
    assert outliers_of(images).equal(first)


def test_large_logits_for_its_own_images_and_small_ones_for_outliers_cost_nothing():
    logits = torch.full((6, 10), BORDER - 40)
    logits[:4, 3] = BORDER + 40
    assert float(exposure_loss(logits, known=4)) < 1e-6
    assert float(exposure_loss(logits, known=6)) > 10  # two outliers are taken for its own
    assert float(exposure_loss(logits, known=2)) > 10  # and here the other way round


def test_no_class_gains_by_it():
    logits = torch.zeros(4, 10, requires_grad=True)
    exposure_loss(logits, known=2).backward()
    assert (logits.grad[:2] < 0).all()  # a step makes these larger, those smaller,
    assert (logits.grad[2:] > 0).all()
    assert logits.grad.std(dim=1).max() < 1e-7  # and every class as much
