"""Other framings of pictures in which the surroundings of the paper look like paper or ink."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from support.paths import ROOT

from models.preparation.digit import digit, other_framings
from models.preparation.second_look import MOST_PIXELS, choose_framing, reduce_picture, second_look
from models.preparation.sheet import find_sheet

MNIST = np.load(ROOT / "tests" / "data" / "mnist-test-500.npz")["images"]


def page(image, *, side=120, size=(200, 200), paper=245, ink=20):
    """Draw a digit in the middle of a page."""
    picture = Image.new("L", size, paper)
    mask = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    picture.paste(ink, ((size[0] - side) // 2, (size[1] - side) // 2), mask)
    return picture


def on_table(image):
    table = Image.new("L", (400, 300), 60)
    table.paste(page(image), (70, 60))
    return table


def in_white_frame(image):
    return Image.fromarray(np.pad(image, 2, constant_values=255))


def with_thumb(image):
    picture = page(image, size=(260, 220))
    ImageDraw.Draw(picture).ellipse((-40, 120, 60, 280), fill=110)
    return picture


def with_holes(image):
    picture = page(image, size=(260, 260))
    for y in (30, 130, 230):
        ImageDraw.Draw(picture).ellipse((8, y - 7, 22, y + 7), fill=30)
    return picture


def on_wide_page(image):
    return page(image, side=50, size=(6000, 80))


def nearest(pixels, originals):
    return int(np.abs(originals - pixels.ravel().astype(int)).sum(axis=1).argmin())


@pytest.mark.parametrize("frame", [on_table, in_white_frame, with_thumb, with_holes, on_wide_page])
def test_one_of_the_framings_is_the_digit(frame):
    originals = MNIST[:60].reshape(60, -1).astype(int)
    found = 0
    for index in range(60):
        picture = frame(MNIST[index])
        framings = [digit(picture), *other_framings(picture)]
        found += any(nearest(pixels, originals) == index for pixels in framings)
    assert found >= 54


@pytest.mark.parametrize(
    "picture", [Image.fromarray(MNIST[0]), Image.new("L", (90, 40), 200), Image.new("RGB", (1, 1))]
)
def test_mnist_images_and_blank_pictures_have_one_framing(picture):
    assert other_framings(picture) == []


def test_framings_are_images_of_mnist_size():
    framings = other_framings(on_table(MNIST[3]))
    assert framings
    assert all((pixels.shape, pixels.dtype) == ((28, 28), np.uint8) for pixels in framings)


def test_a_sheet_on_a_table_is_found():
    box = find_sheet(on_table(MNIST[0]))
    assert box
    assert np.abs(np.array(box) - (70, 60, 270, 260)).max() <= 10


def test_the_most_familiar_framing_is_chosen():
    assert choose_framing([0.01, 0.2, 0.9, 0.3]) == 2
    assert choose_framing([0.01, 0.02, 0.04]) == 0  # none is familiar


def test_only_digits_have_other_framings():
    assert second_look("photo") is None
    picture = on_table(MNIST[0])
    for found, expected in zip(second_look("digit")(picture), other_framings(picture), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("size", [(3000, 2000), (60_000, 100), (1, 65_535), (1, 1)])
def test_a_reduced_picture_has_the_same_framings(size):
    picture = page(MNIST[0], side=min(size) // 2, size=size) if min(size) > 1 else Image.new("L", size, 200)
    reduced = reduce_picture(picture)
    assert reduced.width * reduced.height <= MOST_PIXELS
    assert reduce_picture(reduced) is reduced
    frame = second_look("digit")
    for found, expected in zip(frame(reduced), frame(picture), strict=True):
        assert np.array_equal(found, expected)
