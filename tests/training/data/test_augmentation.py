"""Augmentation: changes, their limits, and unchanged properties."""

import math

import pytest
import torch

from training.data.augmentation import Augmentation, cut_out, flip_and_shift, smooth_field, warp

GREY, COLOUR = (200, 12, 12), (200, 12, 12, 3)


NONE, ALL = torch.zeros(200, dtype=torch.bool), torch.ones(200, dtype=torch.bool)


def noise(shape):
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def same_draws_in_every_run():
    torch.manual_seed(0)


def move(images, *, angle=0.0, scale=(1.0, 1.0), shear=0.0, translation=(0.0, 0.0)):
    ones = torch.ones(len(images))
    return warp(
        images,
        angles=ones * angle,
        scales=ones[:, None] * torch.tensor(scale),
        shears=ones * shear,
        translations=ones[:, None] * torch.tensor(translation),
    )


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_augmentation_changes_nothing_by_default(shape):
    assert torch.equal(Augmentation()(noise(shape), mirrored=ALL), noise(shape))


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_flip_mirrors_only_the_selected_images(shape):
    images, mirrored = noise(shape), torch.arange(200) % 3 == 0
    flipped = Augmentation(flip=True)(images, mirrored=mirrored)
    assert torch.equal(flipped[mirrored], images[mirrored].flip(2))
    assert torch.equal(flipped[~mirrored], images[~mirrored])


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_shift_crops_the_reflected_image_within_its_limit(shape):
    images = noise(shape)
    shifted = flip_and_shift(images, mirrored=NONE, shift=2)
    assert shifted.dtype == torch.uint8
    channels_first = images[..., None] if images.ndim == 3 else images
    padded = torch.nn.functional.pad(channels_first.permute(0, 3, 1, 2).float(), (2, 2, 2, 2), mode="reflect")
    padded = padded.permute(0, 2, 3, 1).reshape(len(images), 16, 16, *images.shape[3:])
    found = set()
    for image, window in zip(padded, shifted, strict=True):
        moves = [(y, x) for y in range(5) for x in range(5) if torch.equal(image[y : y + 12, x : x + 12], window)]
        assert len(moves) == 1
        found.add(moves[0])
    assert len(found) == 25  # every move occurs


def test_augmentation_depends_only_on_the_seed():
    augmentation = Augmentation(flip=True, shift=2, cutout=4)
    torch.manual_seed(3)
    first = augmentation(noise(COLOUR), mirrored=ALL)
    torch.manual_seed(3)
    assert torch.equal(augmentation(noise(COLOUR), mirrored=ALL), first)
    assert not torch.equal(augmentation(noise(COLOUR), mirrored=ALL), first)


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_cutout_is_a_grey_square_of_at_most_its_size(shape):
    white = torch.full(shape, 255, dtype=torch.uint8)
    cut = cut_out(white, size=4)
    assert set(cut.unique().tolist()) == {128, 255}
    grey = (cut == 128).reshape(*shape[:3], -1)
    assert torch.equal(grey.all(dim=3), grey.any(dim=3))  # the channels agree
    heights, widths = grey.any(dim=3).any(dim=2).sum(dim=1), grey.any(dim=3).any(dim=1).sum(dim=1)
    assert torch.equal(grey.any(dim=3).sum(dim=(1, 2)), heights * widths)
    assert (int(heights.max()), int(widths.max())) == (4, 4)
    assert int(heights.min()) >= 2  # partly outside at the border


def test_warp_by_the_identity_keeps_the_images():
    assert torch.allclose(move(noise(GREY)), noise(GREY).float(), atol=1e-2)


def test_translation_moves_right_and_down_and_fills_black():
    images = noise(GREY)
    moved = move(images, translation=(2.0, 1.0))
    assert torch.allclose(moved[:, 1:, 2:], images[:, :-1, :-2].float(), atol=1e-2)
    assert moved[:, 0].abs().max() < 1e-2
    assert moved[:, :, :2].abs().max() < 1e-2


def test_rotation_by_a_right_angle_is_exact():
    images = noise(GREY)
    turned = move(images, angle=math.pi / 2)
    assert torch.allclose(turned, images.rot90(dims=(1, 2)).float(), atol=0.1)


def stroke(size):
    """Return (1, size, size): a smooth line of 11 rows, which bicubic sampling keeps."""
    across = 100 * (-0.5 * ((torch.arange(size) - size // 2) / 1.5) ** 2).exp()
    rows = ((torch.arange(size) - size // 2).abs() <= 5).float()
    return (rows[:, None] * across)[None]


def test_scale_2_doubles_the_ink():
    assert move(stroke(41), scale=(2.0, 1.0)).sum() == pytest.approx(2 * float(stroke(41).sum()), rel=1e-3)


def test_scale_2_doubles_the_width_of_a_square():
    images = torch.zeros(1, 24, 24)
    images[:, 9:15, 9:15] = 100
    scaled = move(images, scale=(2.0, 1.0))[0] > 50
    assert (int(scaled.any(dim=0).sum()), int(scaled.any(dim=1).sum()), int(scaled.sum())) == (12, 6, 72)


def test_shear_moves_the_rows_and_keeps_the_ink():
    sheared = move(stroke(21), shear=0.5)[0]
    columns = (sheared * torch.arange(21)).sum(dim=1)[5:16] / sheared.sum(dim=1)[5:16]
    assert torch.allclose(columns.diff().abs(), torch.full((10,), 0.5), atol=0.02)
    assert sheared.sum() == pytest.approx(float(stroke(21).sum()), rel=1e-3)


def test_warp_keeps_the_pixel_range():
    augmented = Augmentation(degrees=30, scale=0.2, shear=0.2, translate=3, elastic=2)(noise(GREY), mirrored=NONE)
    assert augmented.shape == GREY
    assert augmented.min() >= 0
    assert augmented.max() <= 255


def test_displacement_by_1_pixel_takes_the_neighbour():
    images, displacements = noise(GREY), torch.zeros(*GREY, 2)
    displacements[..., 0] = 1.0
    ones = torch.ones(len(images))
    moved = warp(
        images,
        angles=ones * 0,
        scales=ones[:, None].expand(-1, 2),
        shears=ones * 0,
        translations=torch.zeros(len(images), 2),
        displacements=displacements,
    )
    assert torch.allclose(moved[:, :, :-1], images[:, :, 1:].float(), atol=1e-2)


def test_smooth_field_has_unit_variance_and_is_smooth():
    field = smooth_field(torch.zeros(4000, 28, 28))
    assert field.shape == (4000, 28, 28, 2)
    assert torch.allclose(field.std(dim=0), torch.ones(28, 28, 2), atol=0.06)
    steps = field.diff(dim=1).std()
    assert 0.15 < steps < 0.2  # for a Gaussian of 4 pixels: 1 / (sqrt(2) * 4)


def test_elastic_deformation_bends_each_image_differently():
    bars = torch.zeros(50, 28, 28)
    bars[:, 4:24, 13:15] = 255
    bent = Augmentation(elastic=1.4)(bars, mirrored=NONE[:50])
    columns = (bent * torch.arange(28)).sum(dim=2)[:, 6:22] / bent.sum(dim=2)[:, 6:22].clamp(min=1)
    assert (columns.max(dim=1).values - columns.min(dim=1).values).mean() > 1  # pixels, along one stroke
    assert (bent[0] - bent[1]).abs().max() > 50


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_noise_is_on_half_of_the_images_within_its_limit(shape):
    images = torch.full(shape, 128, dtype=torch.uint8)
    changes = Augmentation(noise=8)(images, mirrored=NONE) - 128
    deviations = changes.flatten(start_dim=1).std(dim=1)
    assert (deviations == 0).sum() == 100
    assert 7 < deviations.max() < 10  # of 144 or more pixels
    assert deviations[deviations > 0].mean() == pytest.approx(4, abs=0.7)


def test_noise_stays_in_range():
    noisy = Augmentation(noise=50)(noise(COLOUR), mirrored=NONE)
    assert ((noisy >= 0) & (noisy <= 255)).all()
