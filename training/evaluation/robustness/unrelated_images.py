"""Unrelated (out-of-distribution) images: drawn from a seed, or from another data set."""

import string
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from training.data.datasets import CIFAR10_FOLDER, MNIST_FOLDER, DataError, DataSet, Split, load_cifar10, load_mnist
from training.recipes.zoo import TrainableModel

SIDE = 280  # pixels of a drawn picture
FONTS = [
    *(f"DejaVu{name}.ttf" for name in ("Sans", "Sans-Bold", "Sans-Oblique", "Serif", "Serif-Bold", "Serif-Italic")),
    *(f"DejaVuSansMono{name}.ttf" for name in ("", "-Bold", "-Oblique")),
    *(f"STIXGeneral{name}.ttf" for name in ("", "Bol", "Italic", "BolIta")),
]
LETTERS = string.ascii_letters
DISTINCT_LETTERS = "".join(letter for letter in LETTERS if letter not in "ISOZclijosvz")  # O looks like 0, l like 1
SYMBOLS = "@#$%&*+=?!<>^~{}[]§€£"

Random = np.random.Generator
Draw = Callable[[Random], Image.Image]


def unrelated_kinds(model: TrainableModel, test: Split, data_dir: Path) -> Mapping[str, Draw]:
    """Return the drawing function of each kind of images unrelated to a model.

    Args:
        model: defines how pictures are prepared.
        test: the model's test split.
        data_dir: if it has the other data set, its images are one more kind; nothing is downloaded.
    """
    return _for_digits(test.images.cpu().numpy(), data_dir) if model.preparation == "digit" else _for_photos(data_dir)


def draw_pictures(kind: str, draw: Draw, count: int) -> Iterator[Image.Image]:
    """Draw the pictures of a kind; its name seeds the random generator."""
    random = np.random.default_rng(zlib.crc32(kind.encode()))
    return (draw(random) for _ in range(count))


def _for_digits(images: NDArray[np.uint8], data_dir: Path) -> Mapping[str, Draw]:
    kinds: dict[str, Draw] = {
        "letters": lambda random: _character(LETTERS, random),
        "letters unlike digits": lambda random: _character(DISTINCT_LETTERS, random),
        "symbols": lambda random: _character(SYMBOLS, random),
        "scribbles": _scribble,
        "shapes": _shape,
        "two digits": lambda random: _side_by_side(images[random.integers(len(images), size=2)]),
        "noise": lambda random: _noise((SIDE, SIDE), random),
        "blank paper": _blank,
    }
    return kinds | _images_of("photographs", load_cifar10, data_dir, CIFAR10_FOLDER)


def _for_photos(data_dir: Path) -> Mapping[str, Draw]:
    kinds: dict[str, Draw] = {
        "letters": lambda random: _coloured(_character(LETTERS, random), random),
        "shapes": lambda random: _coloured(_shape(random), random),
        "textures": _texture,
        "blurred noise": lambda random: _noise((8, 8, 3), random).resize((SIDE, SIDE), Image.Resampling.BICUBIC),
        "noise": lambda random: _noise((32, 32, 3), random),
        "one colour": lambda random: _coloured(_blank(random), random),
    }
    return kinds | _images_of("digits", load_mnist, data_dir, MNIST_FOLDER)


def _images_of(kind: str, load: Callable[..., DataSet], data_dir: Path, folder: Path) -> dict[str, Draw]:
    """Return another data set's test images as a kind; empty if it is unreadable."""
    if not (data_dir / folder).is_dir():
        return {}
    try:
        return {kind: _enlarged(load(data_dir, download=False).test)}
    except DataError as error:  # do not abort a run of hours
        tqdm.write(f"unrelated images: skipped {kind}: {error}", file=sys.stderr)
        return {}


def _enlarged(split: Split) -> Draw:
    images = split.images.numpy()

    def draw(random: Random) -> Image.Image:
        return Image.fromarray(images[random.integers(len(images))]).resize((128, 128), Image.Resampling.BICUBIC)

    return draw


def _character(alphabet: str, random: Random) -> Image.Image:
    """Draw one character in a random font and size, rotated by up to 15 degrees."""
    font = Path(mpl.get_data_path(), "fonts", "ttf", FONTS[random.integers(len(FONTS))])
    picture = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(picture).text(
        (SIDE / 2, SIDE / 2),
        alphabet[random.integers(len(alphabet))],
        font=ImageFont.truetype(font, int(random.integers(60, 200))),
        fill=255,
        anchor="mm",
    )
    return picture.rotate(random.uniform(-15, 15), Image.Resampling.BICUBIC)


def _scribble(random: Random) -> Image.Image:
    """Draw a smooth line through 5 to 11 random points."""
    picture, count = Image.new("L", (SIDE, SIDE)), int(random.integers(5, 12))
    points = random.uniform(0.1 * SIDE, 0.9 * SIDE, (2, count))
    steps = np.linspace(0, count - 1, 300)
    lines = (np.interp(steps, np.arange(count), line) for line in points)
    smooth = zip(*(np.convolve(line, np.ones(25) / 25, "valid") for line in lines), strict=True)
    ImageDraw.Draw(picture).line(list(smooth), fill=255, width=int(random.integers(8, 20)), joint="curve")
    return picture


def _shape(random: Random) -> Image.Image:
    """Draw a regular polygon of 3 to 6 sides, filled or outlined."""
    picture = Image.new("L", (SIDE, SIDE))
    circle = (SIDE / 2, SIDE / 2, random.uniform(0.2, 0.4) * SIDE)
    sides, rotation, width = int(random.integers(3, 7)), random.uniform(0, 360), int(random.integers(8, 20))
    filled = random.random() < 0.3
    fill = 255 if filled else 0
    ImageDraw.Draw(picture).regular_polygon(circle, sides, rotation, fill=fill, outline=255, width=width)
    return picture


def _side_by_side(digits: NDArray[np.uint8]) -> Image.Image:
    """Join two digits into one picture, spaced as in a number."""
    left, right = digits
    both = np.zeros((28, 54), np.uint8)
    both[:, :28] = left
    both[:, 26:] = np.maximum(both[:, 26:], right)
    return Image.fromarray(both).resize((SIDE, SIDE * 28 // 54), Image.Resampling.BICUBIC)


def _noise(shape: tuple[int, ...], random: Random) -> Image.Image:
    return Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))


def _blank(random: Random) -> Image.Image:
    return Image.new("L", (SIDE, SIDE), int(random.integers(256)))


def _texture(random: Random) -> Image.Image:
    """Draw one wave, or two superimposed, in two colours."""
    down, across = np.mgrid[:128, :128]
    angle, frequency = random.uniform(0, np.pi), random.uniform(0.05, 0.6)
    levels = np.sin(frequency * (across * np.cos(angle) + down * np.sin(angle)))
    if random.random() < 0.5:
        levels += np.sin(frequency * (across * np.sin(angle) - down * np.cos(angle)))
    share = (levels - levels.min()) / np.ptp(levels)
    return _blend(share, random)


def _coloured(picture: Image.Image, random: Random) -> Image.Image:
    """Colour a grey picture with two random colours."""
    return _blend(np.asarray(picture) / 255, random)


def _blend(share: NDArray[np.float64], random: Random) -> Image.Image:
    first, second = random.uniform(0, 255, (2, 3))
    share = share[:, :, None]
    return Image.fromarray((share * first + (1 - share) * second).astype(np.uint8))
