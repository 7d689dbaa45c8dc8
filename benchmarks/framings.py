"""Pictures as people send them, made from images of a test split: each function draws one, as an encoded file.

A digit comes as MNIST has it, (28, 28) uint8, white on black; a photograph as CIFAR-10 has it, (32, 32, 3).
"""

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Random = np.random.Generator
Array = NDArray[np.uint8]
Framing = Callable[[Array, Random], bytes]
Framings = Mapping[str, tuple[Framing, float | None]]  # what is read at least, or may be lost against the first
Color = tuple[int, int, int]

PAGE = (320, 240)
PENS: tuple[Color, ...] = ((20, 40, 160), (170, 20, 30), (10, 110, 50), (120, 20, 120), (90, 90, 95), (200, 90, 0))
EXIF_ORIENTATION = 0x0112


def encode(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def native(digit: Array, _random: Random) -> bytes:
    """The test image itself."""
    return encode(Image.fromarray(digit))


def mask_of(digit: Array, side: float, *, degrees: float = 0.0) -> Image.Image:
    """Enlarge a digit's ink, cropped, to a longest side: mode L, 255 where the pen went, edges as sharp as a pen's."""
    rows, columns = digit.any(axis=1).nonzero()[0], digit.any(axis=0).nonzero()[0]
    ink = Image.fromarray(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    scale = side / max(ink.size)
    size = (max(1, round(ink.width * scale)), max(1, round(ink.height * scale)))
    large = ink.resize(size, Image.Resampling.BICUBIC)
    if scale > 2:  # a pen's edge is no wider than a pixel or two
        large = large.point(lambda value: (value - 128) * scale / 2 + 128)
    if degrees:
        large = large.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    return large


def place(mask: Image.Image, size: tuple[int, int], random: Random, *, margin: int = 4) -> Image.Image:
    """Lay a mask somewhere on a canvas, not nearer to its edge than the margin."""
    canvas = Image.new("L", size)
    rooms = [side - length - 2 * margin for side, length in zip(size, mask.size, strict=True)]
    left, top = (margin + int(random.integers(max(1, room + 1))) for room in rooms)
    canvas.paste(mask, (left, top))
    return canvas


def draw(mask: Image.Image, ink: Color, paper: Image.Image) -> Image.Image:
    """Put ink on paper."""
    return Image.composite(Image.new("RGB", paper.size, ink), paper, mask)


def uneven_paper(size: tuple[int, int], random: Random, *, noise: float = 4.0) -> Image.Image:
    """Tinted paper under uneven light, as a camera sees it."""
    width, height = size
    tint = np.array([random.uniform(200, 250), random.uniform(195, 245), random.uniform(175, 240)])
    angle, fall = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.35)
    across, down = np.meshgrid(np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height))
    light = 1 - fall * (0.5 + np.cos(angle) * across + np.sin(angle) * down)
    pixels = tint * light[:, :, None] + random.normal(0, noise, (height, width, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def dark_ink(random: Random) -> Color:
    """Pencil to ball pen."""
    red, green, blue = (int(value) for value in random.integers(10, 80, 3))
    return red, green, blue


def page(digit: Array, random: Random) -> bytes:
    """Dark ink on uneven, tinted, noisy paper, 40 to 150 px on a 320x240 page, off-centre, turned up to 12 degrees."""
    mask = mask_of(digit, random.uniform(40, 150), degrees=random.uniform(-12, 12))
    picture = draw(place(mask, PAGE, random), dark_ink(random), uneven_paper(PAGE, random))
    return encode(picture, "JPEG", quality=80)


def _canvas(digit: Array, random: Random, ink: int, paper: int) -> bytes:
    side = int(np.exp(random.uniform(np.log(50), np.log(2000))))
    mask = place(mask_of(digit, side * random.uniform(0.4, 0.8)), (side, side), random, margin=side // 20)
    return encode(Image.composite(Image.new("L", mask.size, ink), Image.new("L", mask.size, paper), mask))


def white_on_black(digit: Array, random: Random) -> bytes:
    """A white digit on a black canvas of 50 to 2000 px."""
    return _canvas(digit, random, 255, 0)


def black_on_white(digit: Array, random: Random) -> bytes:
    """A black digit on a white canvas of 50 to 2000 px."""
    return _canvas(digit, random, 0, 255)


def _stroked(digit: Array, random: Random, change: Callable[[Image.Image, float], Image.Image]) -> bytes:
    side = random.uniform(120, 200)
    mask = change(mask_of(digit, side), side)
    size = (300, 300)
    return encode(draw(place(mask, size, random), dark_ink(random), uneven_paper(size, random)), "JPEG", quality=85)


def thin(digit: Array, random: Random) -> bytes:
    """A fine pen: strokes worn away by a thirtieth of the digit's height all round."""
    return _stroked(digit, random, lambda mask, side: mask.filter(ImageFilter.MinFilter(_odd(side / 30))))


def thick(digit: Array, random: Random) -> bytes:
    """A marker: strokes wider by a fifteenth of the digit's height."""

    def widen(mask: Image.Image, side: float) -> Image.Image:
        border = _odd(side / 15) // 2 + 1
        wide = Image.new("L", (mask.width + 2 * border, mask.height + 2 * border))
        wide.paste(mask, (border, border))
        return wide.filter(ImageFilter.MaxFilter(_odd(side / 15)))

    return _stroked(digit, random, widen)


def _odd(value: float) -> int:
    return 2 * round((value - 1) / 2) + 1 if value > 1 else 1


def coloured(digit: Array, random: Random) -> bytes:
    """A coloured pen, on coloured paper one time in two."""
    paper = uneven_paper((240, 240), random)
    if random.random() < 0.5:
        tint = tuple(int(value) for value in random.integers(190, 256, 3))
        paper = Image.blend(paper, Image.new("RGB", paper.size, tint), 0.7)  # type: ignore[arg-type]
    mask = place(mask_of(digit, random.uniform(80, 180)), paper.size, random)
    return encode(draw(mask, PENS[random.integers(len(PENS))], paper), "JPEG", quality=85)


def _lined(digit: Array, random: Random, *, squared: bool) -> bytes:
    size, gap = (300, 300), int(random.integers(24, 60))
    paper = uneven_paper(size, random)
    pencil = ImageDraw.Draw(paper)
    line = (150, 175, 215) if random.random() < 0.7 else (170, 170, 170)
    start, width = int(random.integers(gap)), int(random.integers(1, 3))
    for at in range(start, 300, gap):
        pencil.line([(0, at), (300, at)], fill=line, width=width)
        if squared:
            pencil.line([(at, 0), (at, 300)], fill=line, width=width)
    mask = place(mask_of(digit, random.uniform(60, 200)), size, random)
    return encode(draw(mask, dark_ink(random), paper), "JPEG", quality=85)


def ruled(digit: Array, random: Random) -> bytes:
    """Ruled paper, its lines pale blue or grey."""
    return _lined(digit, random, squared=False)


def squared(digit: Array, random: Random) -> bytes:
    """Squared paper."""
    return _lined(digit, random, squared=True)


def shadowed(digit: Array, random: Random) -> bytes:
    """A hand's or a phone's shadow over part of the page, half as light, its edge soft."""
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
    """Ink on nothing, dark or light, as drawing programs save it, with wide margins or none."""
    mask = mask_of(digit, random.uniform(60, 300))
    if random.random() < 0.7:
        side = round(max(mask.size) * random.uniform(1.1, 3))
        mask = place(mask, (side, side), random, margin=0)
    ink = Image.new("RGB", mask.size, dark_ink(random) if random.random() < 0.5 else (255, 255, 255))
    ink.putalpha(mask)
    return encode(ink)


def turned(digit: Array, random: Random) -> bytes:
    """A photograph that only EXIF says is upside down or on its side."""
    mask = place(mask_of(digit, random.uniform(80, 180)), PAGE, random)
    picture = draw(mask, dark_ink(random), uneven_paper(PAGE, random))
    orientation, turn = ((3, 2), (6, 1), (8, 3))[random.integers(3)]
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    pixels = np.rot90(np.asarray(picture), turn)
    return encode(Image.fromarray(np.ascontiguousarray(pixels)), "JPEG", quality=85, exif=exif)


def tight(digit: Array, random: Random) -> bytes:
    """Cropped to the ink: it touches every edge of the picture."""
    mask = mask_of(digit, random.uniform(30, 300))
    return encode(draw(mask, dark_ink(random), uneven_paper(mask.size, random)), "JPEG", quality=90)


def cut(digit: Array, random: Random) -> bytes:
    """Ink that runs a little beyond one edge of the picture."""
    mask = place(mask_of(digit, 150), (240, 240), random, margin=0)
    box = mask.getbbox()
    assert box is not None
    edge, beyond = int(random.integers(4)), 4
    keep = [0, 0, 240, 240]
    keep[edge] = box[edge] + beyond if edge < 2 else box[edge] - beyond
    mask = mask.crop(tuple(keep))  # type: ignore[arg-type]
    return encode(draw(mask, dark_ink(random), uneven_paper(mask.size, random)), "JPEG", quality=90)


def coarse(digit: Array, random: Random) -> bytes:
    """A tight 16x16 box, enlarged: another century's scanner."""
    side = int(random.integers(48, 200))
    small = mask_of(digit, 16)
    box = Image.new("L", (16, 16))
    box.paste(small, ((16 - small.width) // 2, (16 - small.height) // 2))
    filter_ = (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)[random.integers(2)]
    return encode(box.resize((side, side), filter_))


def framed(digit: Array, random: Random) -> bytes:
    """A box drawn around it, as forms have: a line of 1 to 3 px at the edge of the picture or just inside."""
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


def _enlarged(image: Array, random: Random) -> Image.Image:
    side = round(32 * random.uniform(4, 20))
    return Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)


def enlarged(image: Array, random: Random) -> bytes:
    """4 to 20 times as large."""
    return encode(_enlarged(image, random))


def enlarged_jpeg(image: Array, random: Random) -> bytes:
    """The same, as a camera's file."""
    return encode(_enlarged(image, random), "JPEG", quality=85)


def _extended(image: Array, random: Random, *, wide: bool) -> Image.Image:
    picture = _enlarged(image, random)
    more = round(picture.width * random.uniform(0.1, 0.5))
    pad = ((0, 0), (more, more), (0, 0)) if wide else ((more, more), (0, 0), (0, 0))
    return Image.fromarray(np.pad(np.asarray(picture), pad, mode="reflect"))


def wide(image: Array, random: Random) -> bytes:
    """A wide picture with the subject in its middle, its surroundings going on to both sides."""
    return encode(_extended(image, random, wide=True), "JPEG", quality=85)


def tall(image: Array, random: Random) -> bytes:
    """A tall one."""
    return encode(_extended(image, random, wide=False), "JPEG", quality=85)


def padded(image: Array, random: Random) -> bytes:
    """A wide or tall picture made square by two bars, black or white."""
    picture = _extended(image, random, wide=random.random() < 0.5)
    side = max(picture.size)
    canvas = Image.new("RGB", (side, side), (0, 0, 0) if random.random() < 0.5 else (255, 255, 255))
    canvas.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return encode(canvas, "JPEG", quality=85)


PHOTOS: Framings = {
    "as in the test split": (native, None),
    "enlarged 4 to 20 times": (enlarged, -0.01),
    "enlarged, JPEG": (enlarged_jpeg, -0.01),
    "in a wide picture": (wide, -0.01),
    "in a tall picture": (tall, -0.01),
    "between black or white bars": (padded, -0.01),
}
DIGITS: Framings = {
    "as in the test split": (native, None),
    "page: dark ink, uneven tinted paper, JPEG": (page, 0.97),
    "white on black, 50 to 2000 px": (white_on_black, 0.99),
    "black on white, 50 to 2000 px": (black_on_white, 0.99),
    "thin strokes": (thin, None),
    "thick strokes": (thick, None),
    "coloured pens": (coloured, None),
    "ruled paper": (ruled, None),
    "squared paper": (squared, None),
    "a shadow across": (shadowed, None),
    "transparent PNG": (transparent, None),
    "turned by EXIF": (turned, None),
    "cropped to the ink": (tight, None),
    "cut at one edge": (cut, None),
    "16x16, enlarged": (coarse, None),
    "in a drawn box": (framed, None),
}
