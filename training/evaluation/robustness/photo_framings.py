"""Framings of CIFAR-10 test images: photographs of other sizes and shapes."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from training.evaluation.robustness.framing import NATIVE, Array, Framings, Random, encode, native


def _enlarged(image: Array, random: Random) -> Image.Image:
    side = round(32 * random.uniform(4, 20))
    return Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)


def enlarged(image: Array, random: Random) -> bytes:
    """Enlarge 4 to 20 times."""
    return encode(_enlarged(image, random))


def enlarged_jpeg(image: Array, random: Random) -> bytes:
    """Enlarge 4 to 20 times and save as JPEG."""
    return encode(_enlarged(image, random), "JPEG", quality=85)


def _extended(image: Array, random: Random, *, wide: bool) -> Image.Image:
    picture = _enlarged(image, random)
    more = round(picture.width * random.uniform(0.1, 0.5))
    pad = ((0, 0), (more, more), (0, 0)) if wide else ((more, more), (0, 0), (0, 0))
    return Image.fromarray(np.pad(np.asarray(picture), pad, mode="reflect"))


def wide(image: Array, random: Random) -> bytes:
    """Extend the image to the left and right by reflection."""
    return encode(_extended(image, random, wide=True), "JPEG", quality=85)


def tall(image: Array, random: Random) -> bytes:
    """Extend the image to the top and bottom by reflection."""
    return encode(_extended(image, random, wide=False), "JPEG", quality=85)


def padded(image: Array, random: Random) -> bytes:
    """Pad a wide or tall picture to a square with two black or white bars."""
    picture = _extended(image, random, wide=random.random() < 0.5)
    side = max(picture.size)
    canvas = Image.new("RGB", (side, side), (0, 0, 0) if random.random() < 0.5 else (255, 255, 255))
    canvas.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return encode(canvas, "JPEG", quality=85)


def _place_on(image: Array, random: Random, make_background: Callable[[int], Image.Image]) -> bytes:
    picture = _enlarged(image, random)
    side = round(picture.width * random.uniform(1.25, 2.2))
    canvas = make_background(side)
    left, top = (int(at) for at in random.integers(side - picture.width + 1, size=2))
    canvas.paste(picture, (left, top))
    return encode(canvas, "JPEG", quality=85)


def on_plain_background(image: Array, random: Random) -> bytes:
    """Place the image on a noisy background of one colour, 1.25 to 2.2 times as wide."""
    color = random.uniform(60, 255, 3)

    def background(side: int) -> Image.Image:
        pixels = color + random.normal(0, 4, (side, side, 1))
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

    return _place_on(image, random, background)


def on_blurred_background(image: Array, random: Random) -> bytes:
    """Place the image on its blurred, upside-down copy, 1.25 to 2.2 times as wide."""

    def background(side: int) -> Image.Image:
        behind = Image.fromarray(image[::-1, ::-1]).resize((side, side), Image.Resampling.BICUBIC)
        return behind.filter(ImageFilter.GaussianBlur(side / 12))

    return _place_on(image, random, background)


PHOTO_FRAMINGS: Framings = {
    NATIVE: native,
    "enlarged 4 to 20 times": enlarged,
    "enlarged, JPEG": enlarged_jpeg,
    "in a wide picture": wide,
    "in a tall picture": tall,
    "between black or white bars": padded,
    "off-centre on plain ground": on_plain_background,
    "off-centre, behind it out of focus": on_blurred_background,
}
