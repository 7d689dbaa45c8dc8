"""Images that the benchmarks send."""

import io

import numpy as np
from PIL import Image

from benchmarks.servers import ROOT

IMAGES = ROOT / "tests" / "images"
DIGIT, PHOTO = IMAGES / "mnist-7.png", IMAGES / "cifar10-ship.png"


def make_photograph(width: int = 4000, height: int = 3000) -> bytes:
    """Return a JPEG with the detail of a camera photograph, about 2 MB."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(256, size=(height // 40, width // 40, 3), dtype=np.uint8))
    fine = random.normal(0, 4, (height, width, 1))
    pixels = np.clip(np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) + fine, 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
