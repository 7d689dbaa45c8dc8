"""Drawing of synthetic handwriting: ink masks and paper."""

import numpy as np
from PIL import Image

from training.evaluation.robustness.framing import Array, Random

Color = tuple[int, int, int]


def mask_of(digit: Array, side: float, *, degrees: float = 0.0) -> Image.Image:
    """Crop a digit to its ink and scale its longest side: mode L, 255 is ink."""
    rows, columns = (np.flatnonzero(digit.any(axis=axis)) for axis in (1, 0))
    ink = Image.fromarray(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    scale = side / max(ink.size)
    size = (max(1, round(ink.width * scale)), max(1, round(ink.height * scale)))
    large = ink.resize(size, Image.Resampling.BICUBIC)
    if scale > 2:  # keep the edge of a stroke at one or two pixels, like a pen's
        large = large.point(lambda value: (value - 128) * scale / 2 + 128)
    if degrees:
        large = large.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    return large


def place(mask: Image.Image, size: tuple[int, int], random: Random, *, margin: int = 4) -> Image.Image:
    """Place a mask randomly on a canvas, at least ``margin`` px from its edges."""
    canvas = Image.new("L", size)
    spaces = [side - length - 2 * margin for side, length in zip(size, mask.size, strict=True)]
    left, top = (margin + int(random.integers(max(1, space + 1))) for space in spaces)
    canvas.paste(mask, (left, top))
    return canvas


def draw(mask: Image.Image, ink: Color, paper: Image.Image) -> Image.Image:
    """Draw ink on paper where the mask is set."""
    return Image.composite(Image.new("RGB", paper.size, ink), paper, mask)


def uneven_paper(size: tuple[int, int], random: Random, *, noise: float = 4.0) -> Image.Image:
    """Return tinted paper under uneven light, with camera noise."""
    width, height = size
    tint = np.array([random.uniform(200, 250), random.uniform(195, 245), random.uniform(175, 240)])
    angle, fall = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.35)
    across, down = np.meshgrid(np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height))
    light = 1 - fall * (0.5 + np.cos(angle) * across + np.sin(angle) * down)
    pixels = tint * light[:, :, None] + random.normal(0, noise, (height, width, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def dark_ink(random: Random) -> Color:
    """Return a random dark colour, from pencil to ballpoint pen."""
    red, green, blue = (int(value) for value in random.integers(10, 80, 3))
    return red, green, blue
