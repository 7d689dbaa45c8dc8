import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw
from support.paths import ROOT
from support.pictures import CIFAR, difference, enlarged

from models.preparation.digit import digit
from models.preparation.photo import photo
from models.preparation.preparer import prepared_check, preparer

TESTS = ROOT / "tests"
MNIST = np.load(TESTS / "data" / "mnist-test-500.npz")["images"]


def on_canvas(image, *, side=200, canvas=(280, 280), at=(40, 40)):
    """Place a digit, white on black, on a canvas as a drawing page does."""
    page = Image.new("L", canvas, 0)
    page.paste(enlarged(image, side), at)
    return page


def inverted(picture):
    return picture.point(lambda level: 255 - level)


def coloured(picture, ink, paper):
    share = np.asarray(picture)[:, :, None] / 255
    return Image.fromarray(np.rint(share * ink + (1 - share) * paper).astype(np.uint8))


def share_like_mnist(frame, *, count=60):
    """Return the share of prepared digits whose nearest image is their own."""
    originals = MNIST[:count].reshape(count, -1).astype(int)
    prepared = [digit(frame(image)).ravel().astype(int) for image in MNIST[:count]]
    nearest = [np.abs(originals - pixels).sum(axis=1).argmin() for pixels in prepared]
    return float(np.mean(np.array(nearest) == np.arange(count)))


def test_mnist_image_is_unchanged():
    for image in MNIST:
        np.testing.assert_array_equal(digit(Image.fromarray(image)), image)
        np.testing.assert_array_equal(digit(Image.fromarray(image).convert("RGB")), image)


def test_other_image_of_mnist_size_is_prepared():
    for image in MNIST[:20]:
        blue = coloured(Image.fromarray(image), (0, 0, 255), (0, 0, 0))
        assert difference(digit(blue), image) < 2
        cornered = 255 - image
        cornered[::27, ::27] = 0
        assert difference(digit(Image.fromarray(cornered)), image) < 5


def test_photo_of_the_model_size_is_unchanged():
    for image in CIFAR:
        np.testing.assert_array_equal(photo(Image.fromarray(image), (32, 32)), image)


@pytest.mark.parametrize("level", [0, 7, 128, 255])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_blank_picture_keeps_its_level(mode, level):
    for size in ((28, 28), (1, 1), (500, 3), (3000, 2000)):
        picture = Image.new(mode, size, (level,) * len(mode))
        np.testing.assert_array_equal(digit(picture), np.full((28, 28), level))


def test_paper_with_little_noise_is_blank():
    noise = np.random.default_rng(0).integers(200, 210, (90, 90), dtype=np.uint8)
    assert digit(Image.fromarray(noise)).min() >= 200


@settings(max_examples=150)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))),
    st.sampled_from([1, 1, 2, 9, 40]),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_any_picture_is_prepared_to_the_model_shape(pixels, factor, size):
    picture = Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels)
    picture = picture.resize((picture.width * factor, picture.height), Image.Resampling.NEAREST)
    prepared = digit(picture)
    assert (prepared.shape, prepared.dtype) == ((28, 28), np.uint8)
    prepared = photo(picture, size)
    assert (prepared.shape, prepared.dtype) == ((*size, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (7000, 7000), (29, 28)])
def test_extreme_pictures_are_prepared_to_the_model_shape(size):
    picture = Image.new("L", size, 255)
    picture.putpixel((size[0] // 2, size[1] // 2), 0)
    assert digit(picture).shape == (28, 28)
    assert photo(picture, (32, 24)).shape == (32, 24, 3)


def test_thin_line_on_a_large_canvas_is_ink():
    picture = Image.new("L", (5000, 5000), 255)
    ImageDraw.Draw(picture).line((100, 100, 4900, 4900), fill=0, width=20)
    prepared = digit(picture)
    assert prepared.max() == 255
    assert np.count_nonzero(np.diagonal(prepared)) >= 18


def test_ink_fits_20_pixels_and_its_centre_of_mass_is_centred():
    for image in MNIST[:100]:
        prepared = digit(on_canvas(image, at=(3, 77)))
        rows, columns = prepared.any(axis=1).nonzero()[0], prepared.any(axis=0).nonzero()[0]
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
        middle = [prepared.sum(axis=1 - axis) @ np.arange(28) / prepared.sum() for axis in (0, 1)]
        assert np.abs(np.array(middle) - 14).max() <= 0.6
        assert prepared.max() == 255


@pytest.mark.parametrize("side", [28, 45, 100, 200, 700, 1900])
def test_digit_of_any_size_is_prepared_like_mnist(side):
    frame = functools.partial(on_canvas, side=side, canvas=(2000, 1000) if side < 900 else (2000, 2000), at=(31, 17))
    assert share_like_mnist(frame, count=20) == 1
    assert np.median([difference(digit(frame(image)), image) for image in MNIST[:20]]) < 7


def test_paper_and_ink_may_have_any_colour():
    blue_on_black, yellow_on_white = ((0, 0, 255), (0, 0, 0)), ((250, 220, 40), (255, 255, 255))
    equally_light = ((255, 0, 0), (0, 130, 0))
    for ink, paper in (blue_on_black, yellow_on_white, equally_light):
        assert share_like_mnist(lambda image, ink=ink, paper=paper: coloured(on_canvas(image), ink, paper)) >= 0.98


def test_faint_ink_is_scaled_to_white():
    faint = on_canvas(MNIST[0]).point(lambda level: 200 - level // 6)
    assert difference(digit(faint), digit(on_canvas(MNIST[0]))) < 4


def test_polarity_does_not_change_the_result():
    for image in MNIST[:50]:
        for side, canvas in ((28, (40, 40)), (150, (256, 256)), (200, (280, 280))):
            page = on_canvas(image, side=side, canvas=canvas, at=(5, 6))
            assert np.abs(digit(page).astype(int) - digit(inverted(page))).max() <= 2  # rounding


def test_inverted_mnist_image_is_prepared_like_mnist():
    assert np.mean([difference(digit(Image.fromarray(255 - image)), image) for image in MNIST[:100]]) < 2


def test_position_does_not_change_the_result():
    for image in MNIST[:20]:
        frame = functools.partial(on_canvas, image, side=150, canvas=(256, 256))
        expected = digit(frame(at=(0, 0)))
        for at in ((106, 0), (0, 106), (41, 33), (-10, 95)):  # 4 of 28 rows and columns are margin
            assert difference(digit(frame(at=at)), expected) < 2  # here the search runs at half the resolution


def test_tight_crop_is_prepared_like_mnist():
    def crop(image):
        return Image.fromarray(image).crop(Image.fromarray(image).getbbox())

    assert share_like_mnist(crop) >= 0.98
    assert share_like_mnist(lambda image: inverted(crop(image))) >= 0.98


def test_specks_do_not_change_the_result():
    page = on_canvas(MNIST[0])
    expected = digit(page)
    for at in ((3, 4), (270, 9), (12, 275), (271, 272)):
        page.paste(255, (*at, at[0] + 3, at[1] + 3))
    np.testing.assert_array_equal(digit(page), expected)


def test_separate_strokes_are_one_digit():
    page = Image.new("L", (280, 280), 255)
    pen = ImageDraw.Draw(page)
    pen.rectangle((60, 40, 80, 240), fill=0)
    pen.rectangle((200, 40, 220, 120), fill=0)
    prepared = digit(page)
    assert min(prepared[:, :12].max(), prepared[:, 16:].max()) > 240


def test_photo_is_cropped_to_its_centre():
    page = Image.new("RGB", (300, 100), (255, 0, 0))
    page.paste((0, 0, 255), (100, 0, 200, 100))
    page.paste((0, 255, 0), (200, 0, 300, 100))
    for turned in (page, page.rotate(90, expand=True)):
        prepared = photo(turned, (32, 32)).astype(int)
        assert np.abs(prepared - (0, 0, 255)).max() <= 20  # the filter reaches over the edge
    assert (photo(page, (10, 30))[:, [0, 15, 29]] == [(255, 0, 0), (0, 0, 255), (0, 255, 0)]).all()


def test_shadow_is_not_ink():
    differences = []
    for image in MNIST[:20]:
        page = inverted(on_canvas(image, side=150, canvas=(256, 256), at=(50, 60)))
        shadow = np.where(np.arange(256) > 100, 0.5, 1.0)[:, None]
        shadowed = Image.fromarray((np.asarray(page) * shadow).astype(np.uint8))
        differences.append(difference(digit(shadowed), digit(page)))
    assert np.median(differences) < 1
    assert max(differences) < 15  # the difference of a shift by one pixel


def test_drawn_box_is_not_ink():
    for image in MNIST[:20]:
        page = inverted(on_canvas(image, side=150, canvas=(256, 256), at=(50, 60)))
        expected = digit(page)
        for inset in (0, 7, 20):
            boxed = page.copy()
            ImageDraw.Draw(boxed).rectangle((inset, inset, 255 - inset, 255 - inset), outline=0, width=2)
            assert difference(digit(boxed), expected) < 0.1


def test_pale_lines_are_not_ink():
    page = inverted(on_canvas(MNIST[0], side=150, canvas=(256, 256), at=(50, 60)))
    lined = page.copy()
    for at in range(10, 256, 30):
        ImageDraw.Draw(lined).line((0, at, 255, at), fill=190)
    lined = Image.fromarray(np.minimum(np.asarray(lined), np.asarray(page)))
    assert difference(digit(lined), digit(page)) < 8


def test_shrunken_photo_is_averaged_over_areas():
    checkers = (np.indices((320, 320)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(photo(Image.fromarray(checkers), (32, 32)).astype(int) - 127).max() <= 2


@pytest.mark.parametrize("side", [64, 137, 640, 1500])
def test_enlarged_photo_is_restored(side):
    for image in CIFAR[:10]:
        assert difference(photo(enlarged(image, side), (32, 32)), image) < 5


def test_grey_photo_has_three_equal_channels():
    prepared = photo(Image.fromarray(MNIST[0]), (28, 28))
    np.testing.assert_array_equal(prepared, np.repeat(MNIST[0][:, :, None], 3, axis=2))


def test_preparer_returns_the_image_shape():
    picture = Image.fromarray(CIFAR[0])
    assert preparer("digit", (28, 28))(picture).shape == (28, 28)
    assert preparer("photo", (24, 40, 3))(picture).shape == (24, 40, 3)


@pytest.mark.parametrize(
    ("preparation", "image_shape", "message"),
    [
        ("digit", (32, 32), r"digit: expected image shape \(28, 28\), got \(32, 32\)"),
        ("digit", (28, 28, 3), r"got \(28, 28, 3\)"),
        ("photo", (32, 32), r"photo: expected image shape \(H, W, 3\), got \(32, 32\)"),
        ("photo", (3, 32, 32), r"got \(3, 32, 32\)"),
    ],
)
def test_preparer_rejects_an_unsupported_shape(preparation, image_shape, message):
    with pytest.raises(ValueError, match=message):
        preparer(preparation, image_shape)


@pytest.mark.parametrize(
    ("preparation", "shape"), [("digit", (28, 28)), ("photo", (32, 32, 3)), ("photo", (24, 16, 3))]
)
def test_prepared_pixels_are_those_that_the_preparation_leaves_unchanged(preparation, shape):
    rng = np.random.default_rng(0)
    prepare, is_prepared = preparer(preparation, shape), prepared_check(preparation, shape)
    others = [(28, 28), (32, 32, 3), (24, 16, 3), (16, 24, 3), (9, 9)]
    images = [*MNIST[:50], *(rng.integers(0, 256, other, np.uint8) for other in others)]
    images += [image[::-1].copy() for image in images] + [255 - image for image in images]
    found = [is_prepared(image) for image in images]
    assert any(found)
    assert not all(found)
    for image, unchanged in zip(images, found, strict=True):
        if unchanged:
            assert np.array_equal(prepare(Image.fromarray(image)), image)
