"""A BentoML service with the typed image API, after its quickstart."""

import bentoml
from PIL.Image import Image

from benchmarks.peers.onnx_model import load_model


@bentoml.service(workers=1)
class TypedClassifier:
    """Classifier of one image per call."""

    def __init__(self) -> None:
        self.model = load_model()

    @bentoml.api
    def classify(self, image: Image) -> dict[str, object]:
        """Classify one image."""
        return self.model.render(self.model.run(self.model.prepare(image)[None])[0])
