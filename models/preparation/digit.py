"""Preparation of handwritten digits in MNIST's framing (LeCun et al. 1998)."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preparation.ink import find_ink
from models.preparation.sheet import find_sheet

SIDE, _GLYPH = 28, 20  # MNIST's side lengths: the image, and the box around the digit
_BOX_SIDES = (19, 20)  # pixels; the longer side of the box in MNIST's images
_CENTER, _OFF_CENTER = 14.0, 0.75  # pixels: MNIST's centre of mass, and the largest distance from it along an axis
_MIN_PEAK = 128  # level of the lightest pixel
_MOMENTS = np.stack([np.ones(SIDE), np.arange(SIDE)]).astype(np.float32)
_REDUCING_GAP = 3.0  # pixels per output pixel for the final filter; box averaging reduces to that first

Pixels = NDArray[np.uint8]


def digit(picture: Image.Image) -> Pixels:
    """Frame a handwritten digit of any ink and paper as in MNIST (LeCun et al. 1998).

    The ink is scaled to fit 20x20 with its aspect ratio and placed in 28x28 with its centre of mass in the middle,
    white on black. An MNIST image is returned bit for bit. A blank picture is only resized.

    Shape: any picture -> (28, 28)
    """
    if (pixels := _mnist_pixels(picture)) is not None:
        return pixels
    if (ink := find_ink(picture)) is not None and (pixels := _frame(ink)) is not None:
        return pixels
    return np.asarray(_grey(picture).resize((SIDE, SIDE), Image.Resampling.BOX))


def other_framings(picture: Image.Image) -> list[Pixels]:
    """Frame what else in a picture may be the digit, for a picture whose usual framing is unfamiliar.

    The surroundings of the paper may look like paper or ink: a desk, a window, a frame, a finger. One framing is the
    main piece of ink in the picture, one that in the area of even tone; either may be the usual framing. A picture in
    MNIST's framing has no other one.

    Shape: any picture -> at most 2 arrays (28, 28)
    """
    if _mnist_pixels(picture) is not None:
        return []
    areas = [picture]
    if (sheet := find_sheet(picture)) is not None:
        areas.append(picture.crop(sheet))
    inks = [ink for area in areas if (ink := find_ink(area, strict=True)) is not None]
    framings = [pixels for ink in inks if (pixels := _frame(ink)) is not None]
    return framings[:1] if len(framings) > 1 and np.array_equal(framings[0], framings[1]) else framings


def _frame(ink: Image.Image) -> Pixels | None:
    """Scale and center ink (mode L, 0 for paper) as in MNIST, or return None if nothing is left of it."""
    scale = _GLYPH / max(ink.size)
    size = max(1, round(ink.width * scale)), max(1, round(ink.height * scale))
    glyph = np.asarray(_resize(ink, size, (0, 0, *ink.size)))
    strongest = int(glyph.max())
    return _center(glyph * np.float32(255 / strongest)) if strongest else None


def _mnist_pixels(picture: Image.Image) -> Pixels | None:
    """Return the pixels of an image with MNIST's framing, else None."""
    if picture.size != (SIDE, SIDE):
        return None
    pixels: Pixels = np.asarray(picture if picture.mode == "L" else picture.getchannel(0))
    if not is_mnist(pixels):
        return None
    if picture.mode != "L" and (np.asarray(picture) != pixels[:, :, None]).any():
        return None
    return pixels


def is_mnist(pixels: Pixels) -> bool:
    """Return whether grey pixels, (H, W) uint8, have MNIST's framing.

    In all 70,000 images of MNIST the longer side of the box around the ink is 19 or 20 pixels, the centre of mass is
    within 0.52 pixels of (14, 14), and the lightest pixel has at least 254 levels.
    """
    if pixels.shape != (SIDE, SIDE):
        return False
    columns = _MOMENTS.dot(pixels.astype(np.float32))  # sums of the columns, and the same weighted by the row
    if max(_extent(pixels.tobytes(), SIDE), _extent(columns[0].tobytes(), 4)) not in _BOX_SIDES:
        return False
    (total, across), (down, _) = columns.dot(_MOMENTS.T).tolist()
    limit = _OFF_CENTER * total
    is_centered = abs(down - _CENTER * total) <= limit and abs(across - _CENTER * total) <= limit
    return is_centered and pixels.item(pixels.argmax()) >= _MIN_PEAK


def _extent(values: bytes, width: int) -> int:
    """Return the number of values of ``width`` bytes from the first to the last that is not 0; negative if all are."""
    first = (len(values) - len(values.lstrip(b"\0"))) // width
    return -(-len(values.rstrip(b"\0")) // width) - first


def _center(glyph: NDArray[np.float32]) -> Pixels:
    """Place a glyph with its centre of mass in the middle, as far as the edges allow."""
    field = np.zeros((SIDE, SIDE), np.uint8)
    slices = []
    for axis, side in enumerate(glyph.shape):
        profile = glyph.sum(axis=1 - axis)
        middle = float(profile @ np.arange(side) / profile.sum())
        start = min(max(math.floor(SIDE / 2 - middle + 0.5), 0), SIDE - side)
        slices.append(slice(start, start + side))
    field[tuple(slices)] = np.rint(glyph)
    return field


def _resize(picture: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Image.Image:
    """Resize the box of a picture, with an area filter when it shrinks."""
    shrinks = box[2] - box[0] > size[0]
    filter_ = Image.Resampling.HAMMING if shrinks else Image.Resampling.BICUBIC
    return picture.resize(size, filter_, box, reducing_gap=_REDUCING_GAP)


def _grey(picture: Image.Image) -> Image.Image:
    return picture if picture.mode == "L" else picture.convert("L")
