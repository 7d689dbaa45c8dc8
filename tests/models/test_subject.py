"""Crop of a photograph to its subject."""

import numpy as np
import pytest
from PIL import Image, ImageFilter
from support.pictures import CIFAR, difference, enlarged

from models.preparation.photo import photo
from models.preparation.subject import find_subject

RANDOM = np.random.default_rng(0)
PLACES = [(0, 0), (30, 210), (230, 110), (300, 300)]


def plain_surroundings(side):
    grain = RANDOM.normal(0, 1, (side, side, 1)) + np.array([190, 180, 160])
    return Image.fromarray(grain.clip(0, 255).astype(np.uint8))


def blurred_surroundings(side):
    return enlarged(CIFAR[1], side).filter(ImageFilter.GaussianBlur(side / 8))


def share_within(box, other):
    """Return the share of a box that is inside another."""
    width, height = (min(box[i + 2], other[i + 2]) - max(box[i], other[i]) for i in (0, 1))
    return max(0, width) * max(0, height) / ((box[2] - box[0]) * (box[3] - box[1]))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("surroundings", [plain_surroundings, blurred_surroundings])
def test_subject_is_found_in_plain_or_blurred_surroundings(surroundings, place):
    shares = []
    for image in CIFAR[:20]:
        page = surroundings(500)
        page.paste(enlarged(image, 200), place)
        left, top = place
        box = find_subject(page, aspect=(32, 32))
        assert box[2] - box[0] == box[3] - box[1]
        shares.append(share_within(box, (left, top, left + 200, top + 200)))
    assert np.mean(shares) >= 0.8


def with_bars(picture, color, *, turn):
    page = Image.new("RGB", (picture.width, picture.height + 90), color)
    page.paste(picture, (0, 45))
    return page.rotate(90, expand=True) if turn else page


@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (40, 90, 60)])
def test_bars_around_a_photo_are_cropped(color, turn):
    for image in CIFAR[:10]:
        picture = enlarged(image, 320).resize((500, 320))
        expected = photo(picture.rotate(90, expand=True) if turn else picture, (32, 32))
        assert difference(photo(with_bars(picture, color, turn=turn), (32, 32)), expected) < 4


def test_plain_paper_around_an_object_is_not_a_bar():
    page = Image.new("RGB", (200, 200), (255, 255, 255))
    page.paste((200, 30, 30), (80, 90, 120, 110))
    prepared = photo(page, (32, 32))
    assert (prepared[0] == 255).all()
    assert (prepared[:, 0] == 255).all()


def test_crop_is_centred_when_the_subject_fills_the_picture():
    for image in CIFAR[:20]:
        wide = enlarged(image, 320).resize((500, 320))
        assert share_within(find_subject(wide, aspect=(32, 32)), (90, 0, 410, 320)) >= 0.7


def test_crop_of_a_blank_picture_is_centred():
    assert find_subject(Image.new("RGB", (300, 100), (10, 200, 30)), aspect=(10, 20)) == (50, 0, 250, 100)


@pytest.mark.parametrize("size", [(1, 1), (131, 259), (1000, 3), (640, 481)])
@pytest.mark.parametrize("aspect", [(32, 32), (7, 50)])
def test_box_is_inside_the_picture_and_has_the_aspect(size, aspect):
    picture = Image.new("RGB", size, (255, 255, 255))
    picture.paste((0, 0, 0), (size[0] - 2, size[1] - 2, size[0], size[1]))
    left, top, right, bottom = find_subject(picture, aspect=aspect)
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    if min(size) > 100:
        assert (bottom - top) / (right - left) == pytest.approx(aspect[0] / aspect[1], rel=0.15)
