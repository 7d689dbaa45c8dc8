"""Pictures of digits with more around them than paper, and 28x28 pictures that are not framed as MNIST images are.

Each kind has a control: the same picture without what makes it hard.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from training.evaluation.robustness.framing import Array, Framings, Random, encode
from training.evaluation.robustness.ink_and_paper import dark_ink, draw, mask_of, place, uneven_paper

CONTROL = ": control"  # end of a title
DESK: tuple[int, int, int] = (110, 75, 50)
SKIN: tuple[int, int, int] = (150, 100, 80)

Draw = Callable[[Array, Random], tuple[Image.Image, Image.Image]]  # the picture and its control


@dataclass(frozen=True)
class _Framing:
    """One of the two pictures of a kind, as a file."""

    draw: Draw
    is_control: bool
    file_format: str = "PNG"

    def __call__(self, digit: Array, random: Random) -> bytes:
        return encode(self.draw(digit, random)[self.is_control], self.file_format)


def _inverted(picture: Image.Image) -> Image.Image:
    return picture.point(lambda level: 255 - level)


def _sheet(digit: Array, random: Random, size: tuple[int, int], *, noise: float = 2.0) -> Image.Image:
    side = random.uniform(0.5, 0.7) * min(size)
    return draw(
        place(mask_of(digit, side), size, random, margin=12), dark_ink(random), uneven_paper(size, random, noise=noise)
    )


def small_in_corner(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw a digit of 13 px near a corner of 28x28; the control is inverted."""
    mask = mask_of(digit, 13)
    left, top = (int(random.choice((1, 27 - side))) for side in mask.size)
    picture = Image.new("L", (28, 28))
    picture.paste(mask, (left, top))
    return picture, _inverted(picture)


def dim(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Darken a test image to 45 of 255 levels; the control has one more row and column."""
    del random
    dark = (digit * (45 / 255)).astype(np.uint8)
    return Image.fromarray(dark), Image.fromarray(np.pad(dark, ((0, 1), (0, 1))))


def fills_the_frame(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Stretch a digit over 28x28; the control has its aspect ratio and a margin."""
    del random
    mask = mask_of(digit, 120)
    control = Image.new("L", (mask.width + 40, mask.height + 40))
    control.paste(mask, (20, 20))
    return mask.resize((28, 28), Image.Resampling.BOX), control


def white_frame(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw a white frame of 1 to 3 px around a test image; in the control it is black."""
    width = int(random.integers(1, 4))
    white, black = (Image.fromarray(np.pad(digit, width, constant_values=level)) for level in (255, 0))
    return white, black


def plot(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw a plot of the image with white margins; the control has no margins."""
    side = int(random.integers(120, 260))
    shown = Image.fromarray(digit).resize((side, side), Image.Resampling.NEAREST)
    picture = Image.new("L", (round(1.7 * side), round(1.3 * side)), 255)
    picture.paste(shown, (round(0.4 * side), round(0.15 * side)))
    return picture, shown


def desk(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw a sheet of paper on a wooden desk; the control is the sheet."""
    size = (400, 300)
    grain = 8 * np.sin(np.arange(size[0]) / random.uniform(2, 6)) + random.normal(0, 3, (size[1], size[0]))
    pixels = np.clip(np.array(DESK) + grain[:, :, None], 0, 255).astype(np.uint8)
    sheet = _sheet(digit, random, (int(random.integers(150, 220)),) * 2)
    picture = Image.fromarray(pixels)
    picture.paste(sheet, (int(random.integers(40, 140)), int(random.integers(20, 70))))
    return picture, sheet


def window(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw a drawing program with a title bar, tools and a scroll bar; the control is its canvas."""
    canvas = Image.new("RGB", (320, 220), "white")
    canvas.paste("black", (0, 0), place(mask_of(digit, random.uniform(90, 160)), canvas.size, random, margin=12))
    picture = Image.new("RGB", (320, 280), (245, 245, 245))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, 319, 14), fill=(0, 120, 215))
    for left in range(int(random.integers(8, 30)), 300, 28):
        pen.rectangle((left, 20, left + 16, 38), fill=(90, 90, 110))
    pen.line((0, 46, 319, 46), fill=(200, 200, 200))
    picture.paste(canvas, (0, 48))
    pen.rectangle((0, 269, 319, 279), fill=(225, 225, 225))
    return picture, canvas


def holes(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw on ruled paper with a margin line and three punched holes; the control has no holes."""
    size = (250, 300)
    paper = Image.new("RGB", size, (250, 248, 240))
    pen = ImageDraw.Draw(paper)
    for y in range(20, 300, 16):
        pen.line((0, y, 249, y), fill=(180, 205, 235))
    mask = Image.new("L", size)
    mask.paste(place(mask_of(digit, random.uniform(90, 150)), (195, 300), random, margin=10), (50, 0))
    control = draw(mask, (30, 40, 120), paper)
    picture = control.copy()
    pen, radius = ImageDraw.Draw(picture), int(random.integers(7, 12))
    for y in (40, 150, 260):
        pen.ellipse((18 - radius, y - radius, 18 + radius, y + radius), fill=(40, 34, 30))
    return picture, control


def thumb(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw a thumb over one lower corner of the paper; the control has none."""
    size = (300, 230)
    mask = Image.new("L", size)
    mask.paste(place(mask_of(digit, random.uniform(90, 140)), (220, 230), random, margin=10), (75, 0))
    control = draw(mask, dark_ink(random), uneven_paper(size, random))
    picture, top = control.copy(), int(random.integers(90, 150))
    ImageDraw.Draw(picture).ellipse((-45, top, 55, top + 180), fill=SKIN)
    return (_mirrored(picture), _mirrored(control)) if random.random() < 0.5 else (picture, control)


def strip(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw a dark strip along one side, as a scanner does next to the paper; the control has none."""
    control = Image.new("L", (200, 200), 250)
    control.paste(20, (0, 0), place(mask_of(digit, random.uniform(90, 150)), control.size, random, margin=12))
    width, is_first, is_across = int(random.integers(8, 40)), random.random() < 0.5, random.random() < 0.5
    picture = Image.new("L", (200, 200 + width) if is_across else (200 + width, 200), 20)
    start = width if is_first else 0
    picture.paste(control, (0, start) if is_across else (start, 0))
    return picture, control


def wide_page(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw a small digit on a very wide page; the control is a fifteenth as wide."""
    height = int(random.integers(60, 120))
    control = Image.new("L", (5 * height, height), 250)
    control.paste(20, (0, 0), place(mask_of(digit, 0.5 * height), control.size, random, margin=8))
    picture = Image.new("L", (75 * height, height), 250)
    picture.paste(control, (int(random.integers(70 * height)), 0))
    return picture, control


def tall_page(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw a small digit on a very tall page; the control is a fifteenth as tall."""
    width = int(random.integers(60, 120))
    control = Image.new("L", (width, 5 * width), 250)
    control.paste(20, (0, 0), place(mask_of(digit, 0.5 * width), control.size, random, margin=8))
    picture = Image.new("L", (width, 75 * width), 250)
    picture.paste(control, (0, int(random.integers(70 * width))))
    return picture, control


def scan(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw the black lid of a scanner on two or three sides of the paper; the control has none."""
    control = Image.new("L", (220, 200), 245)
    control.paste(30, (0, 0), place(mask_of(digit, random.uniform(90, 140)), control.size, random, margin=12))
    left, top, right = (int(random.integers(6, 40)) for _ in range(3))
    right = right if random.random() < 0.5 else 0
    picture = Image.new("L", (left + 220 + right, top + 200), 12)
    picture.paste(control, (left, top))
    return picture, control


def dark_window(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw white on a black canvas in a light window; the control is the canvas."""
    canvas = Image.new("L", (240, 240))
    canvas.paste(255, (0, 0), place(mask_of(digit, random.uniform(100, 170)), canvas.size, random, margin=12))
    picture = Image.new("L", (300, 320), 235)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((10, 8, 120, 22), fill=90)
    pen.rectangle((200, 292, 280, 312), fill=170)
    picture.paste(canvas, (30, 40))
    return picture, canvas


def rotated_sheet(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw a sheet on a dark table, rotated by up to 10 degrees; the control is the sheet."""
    sheet = _sheet(digit, random, (200, 200))
    turned = sheet.convert("RGBA").rotate(random.uniform(-10, 10), Image.Resampling.BICUBIC, expand=True)
    level = int(random.integers(30, 90))
    picture = Image.new("RGB", (380, 300), (level, level, level + 10))
    picture.paste(turned, (int(random.integers(20, 120)), int(random.integers(10, 50))), turned)
    return picture, sheet


def stamped(digit: Array, random: Random) -> tuple[Image.Image, Image.Image]:
    """Draw the date that a camera stamps into a corner; the control has none."""
    control = _sheet(digit, random, (300, 240))
    picture = control.copy()
    ImageDraw.Draw(picture).text((238, 226), "12/05/09", fill=(255, 120, 30))
    return picture, control


def _mirrored(picture: Image.Image) -> Image.Image:
    """Move what lies on the left to the right, without mirroring the digit."""
    middle = picture.width // 4
    moved = Image.new(picture.mode, picture.size)
    moved.paste(picture.crop((middle, 0, picture.width, picture.height)), (0, 0))
    moved.paste(
        picture.crop((0, 0, middle, picture.height)).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        (picture.width - middle, 0),
    )
    return moved


KINDS: Mapping[str, tuple[Draw, str]] = {
    "28x28, small in a corner": (small_in_corner, "PNG"),
    "28x28, dim": (dim, "PNG"),
    "28x28, fills the frame": (fills_the_frame, "PNG"),
    "a white frame": (white_frame, "PNG"),
    "a plot with white margins": (plot, "PNG"),
    "a sheet on a desk": (desk, "JPEG"),
    "a rotated sheet on a table": (rotated_sheet, "JPEG"),
    "a window with a white canvas": (window, "PNG"),
    "a window with a black canvas": (dark_window, "PNG"),
    "punched holes": (holes, "PNG"),
    "a thumb": (thumb, "JPEG"),
    "a dark strip at one side": (strip, "PNG"),
    "a scan with dark edges": (scan, "PNG"),
    "a date stamp": (stamped, "JPEG"),
    "a very wide page": (wide_page, "PNG"),
    "a very tall page": (tall_page, "PNG"),
}
SURROUNDINGS: Framings = {
    title + (CONTROL if is_control else ""): _Framing(draw, is_control, file_format)
    for title, (draw, file_format) in KINDS.items()
    for is_control in (False, True)
}
