"""Framings of MNIST test images: photographed paper, drawing canvases and scans."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.evaluation.robustness.framing import NATIVE, Array, Framings, Random, encode, native
from training.evaluation.robustness.ink_and_paper import Color, dark_ink, draw, mask_of, place, uneven_paper

PAGE_SIZE = (320, 240)  # width, height; pixels
PEN_COLORS: tuple[Color, ...] = (
    (20, 40, 160),
    (170, 20, 30),
    (10, 110, 50),
    (120, 20, 120),
    (90, 90, 95),
    (200, 90, 0),
)
EXIF_ORIENTATION = 0x0112


def page(digit: Array, random: Random) -> bytes:
    """Draw dark ink on a page: 40 to 150 px, off-centre, rotated up to 12 degrees."""
    mask = mask_of(digit, random.uniform(40, 150), degrees=random.uniform(-12, 12))
    picture = draw(place(mask, PAGE_SIZE, random), dark_ink(random), uneven_paper(PAGE_SIZE, random))
    return encode(picture, "JPEG", quality=80)


def _canvas(digit: Array, random: Random, ink: int, paper: int) -> bytes:
    side = int(np.exp(random.uniform(np.log(50), np.log(2000))))
    mask = place(mask_of(digit, side * random.uniform(0.4, 0.8)), (side, side), random, margin=side // 20)
    return encode(Image.composite(Image.new("L", mask.size, ink), Image.new("L", mask.size, paper), mask))


def white_on_black(digit: Array, random: Random) -> bytes:
    """Draw a white digit on a black canvas of 50 to 2000 px."""
    return _canvas(digit, random, 255, 0)


def black_on_white(digit: Array, random: Random) -> bytes:
    """Draw a black digit on a white canvas of 50 to 2000 px."""
    return _canvas(digit, random, 0, 255)


def _stroked(digit: Array, random: Random, change: Callable[[Image.Image, float], Image.Image]) -> bytes:
    side = random.uniform(120, 200)
    mask = change(mask_of(digit, side), side)
    size = (300, 300)
    return encode(draw(place(mask, size, random), dark_ink(random), uneven_paper(size, random)), "JPEG", quality=85)


def thin_strokes(digit: Array, random: Random) -> bytes:
    """Draw fine strokes, eroded by a filter of 1/30 of the digit's height."""
    return _stroked(digit, random, lambda mask, side: mask.filter(ImageFilter.MinFilter(_odd(side / 30))))


def thick_strokes(digit: Array, random: Random) -> bytes:
    """Draw thick strokes, dilated by a filter of 1/15 of the digit's height."""

    def widen(mask: Image.Image, side: float) -> Image.Image:
        border = _odd(side / 15) // 2 + 1
        wide = Image.new("L", (mask.width + 2 * border, mask.height + 2 * border))
        wide.paste(mask, (border, border))
        return wide.filter(ImageFilter.MaxFilter(_odd(side / 15)))

    return _stroked(digit, random, widen)


def _odd(value: float) -> int:
    return 2 * round((value - 1) / 2) + 1 if value > 1 else 1


def coloured(digit: Array, random: Random) -> bytes:
    """Draw with a coloured pen; half of the papers are coloured too."""
    paper = uneven_paper((240, 240), random)
    if random.random() < 0.5:
        tint = tuple(int(value) for value in random.integers(190, 256, 3))
        paper = Image.blend(paper, Image.new("RGB", paper.size, tint), 0.7)
    mask = place(mask_of(digit, random.uniform(80, 180)), paper.size, random)
    return encode(draw(mask, PEN_COLORS[random.integers(len(PEN_COLORS))], paper), "JPEG", quality=85)


def _lined(digit: Array, random: Random, *, squared: bool) -> bytes:
    size, gap = (300, 300), int(random.integers(24, 60))
    paper = uneven_paper(size, random)
    drawing = ImageDraw.Draw(paper)
    line = (150, 175, 215) if random.random() < 0.7 else (170, 170, 170)
    start, width = int(random.integers(gap)), int(random.integers(1, 3))
    for at in range(start, 300, gap):
        drawing.line([(0, at), (300, at)], fill=line, width=width)
        if squared:
            drawing.line([(at, 0), (at, 300)], fill=line, width=width)
    mask = place(mask_of(digit, random.uniform(60, 200)), size, random)
    return encode(draw(mask, dark_ink(random), paper), "JPEG", quality=85)


def ruled(digit: Array, random: Random) -> bytes:
    """Draw on ruled paper with pale blue or grey lines."""
    return _lined(digit, random, squared=False)


def squared(digit: Array, random: Random) -> bytes:
    """Draw on squared paper."""
    return _lined(digit, random, squared=True)


def shadowed(digit: Array, random: Random) -> bytes:
    """Draw a soft-edged shadow on part of the page, 30 to 50 % darker."""
    size = (320, 240)
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    angle = random.uniform(0, 2 * np.pi)
    distance = (across - size[0] * random.uniform(0.3, 0.7)) * np.cos(angle)
    distance += (down - size[1] * random.uniform(0.3, 0.7)) * np.sin(angle)
    light = 1 - random.uniform(0.3, 0.5) / (1 + np.exp(-distance / random.uniform(4, 15)))
    mask = place(mask_of(digit, random.uniform(80, 180)), size, random)
    pixels = np.asarray(draw(mask, dark_ink(random), uneven_paper(size, random))) * light[:, :, None]
    return encode(Image.fromarray(pixels.astype(np.uint8)), "JPEG", quality=85)


def transparent(digit: Array, random: Random) -> bytes:
    """Draw dark or white ink on a transparent background, with wide margins or none."""
    mask = mask_of(digit, random.uniform(60, 300))
    if random.random() < 0.7:
        side = round(max(mask.size) * random.uniform(1.1, 3))
        mask = place(mask, (side, side), random, margin=0)
    ink = Image.new("RGB", mask.size, dark_ink(random) if random.random() < 0.5 else (255, 255, 255))
    ink.putalpha(mask)
    return encode(ink)


def rotated_with_exif(digit: Array, random: Random) -> bytes:
    """Rotate the pixels by 90, 180 or 270 degrees, corrected by EXIF orientation."""
    mask = place(mask_of(digit, random.uniform(80, 180)), PAGE_SIZE, random)
    picture = draw(mask, dark_ink(random), uneven_paper(PAGE_SIZE, random))
    orientation, turn = ((3, 2), (6, 1), (8, 3))[random.integers(3)]
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    pixels = np.rot90(np.asarray(picture), turn)
    return encode(Image.fromarray(np.ascontiguousarray(pixels)), "JPEG", quality=85, exif=exif)


def cropped_to_ink(digit: Array, random: Random) -> bytes:
    """Crop to the ink, which touches every edge of the picture."""
    mask = mask_of(digit, random.uniform(30, 300))
    return encode(draw(mask, dark_ink(random), uneven_paper(mask.size, random)), "JPEG", quality=90)


def cut_at_edge(digit: Array, random: Random) -> bytes:
    """Cut off 4 px of ink at one edge of the picture."""
    mask = place(mask_of(digit, 150), (240, 240), random, margin=0)
    box = mask.getbbox()
    assert box is not None
    edge, beyond = int(random.integers(4)), 4
    keep = [0, 0, 240, 240]
    keep[edge] = box[edge] + beyond if edge < 2 else box[edge] - beyond
    mask = mask.crop((keep[0], keep[1], keep[2], keep[3]))
    return encode(draw(mask, dark_ink(random), uneven_paper(mask.size, random)), "JPEG", quality=90)


def low_resolution(digit: Array, random: Random) -> bytes:
    """Enlarge a digit that fills a 16x16 box, as from an old scanner."""
    side = int(random.integers(48, 200))
    small = mask_of(digit, 16)
    box = Image.new("L", (16, 16))
    box.paste(small, ((16 - small.width) // 2, (16 - small.height) // 2))
    filter_ = (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)[random.integers(2)]
    return encode(box.resize((side, side), filter_))


def boxed(digit: Array, random: Random) -> bytes:
    """Draw a box, as on a form, with lines of 1 to 3 px, up to 9 px from the edge."""
    size = (200, 200)
    picture = draw(
        place(mask_of(digit, random.uniform(80, 150)), size, random, margin=20),
        (30, 30, 30),
        uneven_paper(size, random),
    )
    inset = int(random.integers(0, 10))
    box = [inset, inset, 199 - inset, 199 - inset]
    ImageDraw.Draw(picture).rectangle(box, outline=(40, 40, 40), width=int(random.integers(1, 4)))
    return encode(picture)


DIGIT_FRAMINGS: Framings = {
    NATIVE: native,
    "page: dark ink, uneven tinted paper, JPEG": page,
    "white on black, 50 to 2000 px": white_on_black,
    "black on white, 50 to 2000 px": black_on_white,
    "thin strokes": thin_strokes,
    "thick strokes": thick_strokes,
    "coloured pens": coloured,
    "ruled paper": ruled,
    "squared paper": squared,
    "a shadow across": shadowed,
    "transparent PNG": transparent,
    "turned by EXIF": rotated_with_exif,
    "cropped to the ink": cropped_to_ink,
    "cut at one edge": cut_at_edge,
    "16x16, enlarged": low_resolution,
    "in a drawn box": boxed,
}
