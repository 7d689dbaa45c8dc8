"""PNG data URLs of pixel arrays, for responses that contain a picture."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def data_url(pixels: NDArray[np.uint8]) -> str:
    """Encode (H, W) or (H, W, 3) pixels as ``data:image/png;base64,...``."""
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
