"""Other framings of pictures in which the surroundings of the paper look like paper or ink."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from support.paths import ROOT

from models.preparation.digit import digit, is_mnist, other_framings
from models.preparation.ink import find_ink
from models.preparation.second_look import MAX_PIXELS, choose_framing, reduce_picture, second_look
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
    usual, sheet = other_framings(picture)
    assert np.array_equal(usual, digit(picture))
    (found,) = second_look("digit")(picture, usual)
    assert np.array_equal(found, sheet)


@pytest.mark.parametrize("size", [(3000, 2000), (3999, 4001), (60_000, 100), (1, 65_535), (1, 1)])
def test_a_reduced_picture_has_the_same_framings(size):
    picture = page(MNIST[0], side=min(size) // 2, size=size) if min(size) > 1 else Image.new("L", size, 200)
    reduced = reduce_picture(picture)
    assert reduced.width * reduced.height <= MAX_PIXELS
    assert reduce_picture(reduced) is reduced
    frame, usual = second_look("digit"), digit(picture)
    for found, expected in zip(frame(reduced, usual), frame(picture, usual), strict=True):
        assert np.array_equal(found, expected)


def test_a_photograph_has_no_other_framing():
    tones = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert other_framings(Image.fromarray(tones).resize((128, 128), Image.Resampling.BICUBIC)) == []


def test_a_stain_is_left_out_but_not_a_part_of_the_digit():
    plain = Image.new("L", (200, 200), 250)
    pen = ImageDraw.Draw(plain)
    pen.rectangle((90, 40, 104, 160), fill=10)  # a one
    stained, broken = plain.copy(), plain.copy()
    ImageDraw.Draw(stained).ellipse((20, 20, 32, 32), fill=10)
    ImageDraw.Draw(broken).rectangle((74, 150, 86, 164), fill=10)
    expected = find_ink(plain, strict=True).size
    assert np.abs(np.subtract(find_ink(stained, strict=True).size, expected)).max() <= 2
    assert find_ink(stained).width > expected[0] + 30
    assert find_ink(broken, strict=True).width > expected[0] + 8


def test_ink_at_the_edge_is_no_character_in_a_strict_search():
    picture = Image.new("L", (100, 100), 250)
    ImageDraw.Draw(picture).rectangle((0, 40, 60, 52), fill=10)
    assert find_ink(picture) is not None
    assert find_ink(picture, strict=True) is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (lambda image: image, True),
        (lambda image: np.roll(image, 2, axis=0), False),
        (lambda image: np.roll(image, 2, axis=1), False),
        (lambda image: image // 3, False),
        (lambda image: np.asarray(Image.fromarray(image).resize((24, 24))), False),
        (lambda image: np.pad(np.asarray(Image.fromarray(image).resize((20, 20))), 4), False),
        (lambda image: np.asarray(Image.fromarray(image).resize((34, 34)))[3:31, 3:31], False),
        (np.zeros_like, False),
    ],
)
def test_only_images_framed_as_in_mnist_are_mnist(changed, expected):
    assert [is_mnist(np.ascontiguousarray(changed(image))) for image in MNIST[:50]] == [expected] * 50
