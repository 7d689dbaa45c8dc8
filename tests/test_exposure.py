"""Outliers made of a batch: turned, or put together from quarters, and nothing else."""

import pytest
import torch

from training.exposure import outliers_of


def orientations(image):
    """Every way to lay a square on itself, the image's own first."""
    return [way.rot90(turns) for way in (image, image.fliplr()) for turns in range(4)]


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(40, 28, 28) * 255


def test_there_are_as_many_as_images(images):
    for count in (1, 2, 3, 13, 40):
        assert outliers_of(images[:count]).shape == (count, 28, 28)


def test_half_of_them_are_turned_or_mirrored_in_all_seven_ways(images):
    ways = set()
    for image, turned in zip(images[:20], outliers_of(images)[:20], strict=True):
        (way,) = [number for number, way in enumerate(orientations(image)) if way.equal(turned)]
        ways.add(way)
    assert ways == set(range(1, 8))


def test_the_others_are_quarters_of_several_in_their_own_places(images):
    for whole in outliers_of(images)[20:]:
        corners = [(slice(0, 11), slice(0, 11)), (slice(0, 11), slice(17, 28))]
        corners += [(slice(17, 28), slice(0, 11)), (slice(17, 28), slice(17, 28))]
        taken = [next(i for i, image in enumerate(images) if image[corner].equal(whole[corner])) for corner in corners]
        pixels = torch.stack([whole == images[number] for number in taken])
        assert pixels.any(dim=0).all()
        assert len(set(taken)) > 1


def test_a_seed_decides_them(images):
    torch.manual_seed(1)
    first = outliers_of(images)
    assert not outliers_of(images).equal(first)
    torch.manual_seed(1)
    assert outliers_of(images).equal(first)
