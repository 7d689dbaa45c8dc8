"""Model code of the peers: Pillow decoding, ONNX Runtime, response."""

import io
import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
import orjson
from numpy.typing import NDArray
from PIL import Image

from models.card import ModelCard

MODEL = "PEER_MODEL"  # environment variable: path of the ONNX file


class OnnxModel:
    """An ONNX file in ONNX Runtime, with the options of the service."""

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1  # per batch
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.labels = ModelCard.from_metadata(self.session.get_modelmeta().custom_metadata_map).class_names
        self.height, self.width, *self.channels = self.session.get_inputs()[0].shape[1:]

    def decode(self, body: bytes) -> NDArray[np.uint8]:
        """Decode an image: (H, W) or (H, W, 3)."""
        return self.prepare(Image.open(io.BytesIO(body)))

    def prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Convert and resize a picture for the model: (H, W) or (H, W, 3)."""
        picture = picture.convert("RGB" if self.channels else "L")
        if picture.size != (self.width, self.height):
            picture = picture.resize((self.width, self.height))
        return np.asarray(picture)

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify a batch: (N, H, W) or (N, H, W, 3) -> (N, K)."""
        probabilities: NDArray[np.float32] = self.session.run(["probabilities"], {"images": images})[0]
        return probabilities

    def render(self, probabilities: NDArray[np.float32]) -> dict[str, object]:
        """Return the response for one image's probabilities, (K,)."""
        values = probabilities.tolist()
        confidence = max(values)
        label = self.labels[values.index(confidence)]
        return {"label": label, "confidence": confidence, "probabilities": dict(zip(self.labels, values, strict=True))}

    def render_json(self, probabilities: NDArray[np.float32]) -> bytes:
        """Return the response of :meth:`render` as JSON."""
        return orjson.dumps(self.render(probabilities))


def load_model() -> OnnxModel:
    """Load the file that the environment variable `PEER_MODEL` names."""
    return OnnxModel(Path(os.environ[MODEL]))
