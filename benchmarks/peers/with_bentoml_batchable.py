"""A BentoML service with adaptive batching, after its page "Adaptive batching"."""

import bentoml
import numpy as np
from PIL.Image import Image

from benchmarks.peers.onnx_model import load_model


@bentoml.service(workers=1)
class BatchableClassifier:
    """Classifier that batches the images of concurrent calls."""

    def __init__(self) -> None:
        self.model = load_model()

    @bentoml.api(batchable=True, max_batch_size=64)
    def classify(self, images: list[Image]) -> list[dict[str, object]]:
        """Classify a batch."""
        batch = np.stack([self.model.prepare(image) for image in images])
        return [self.model.render(row) for row in self.model.run(batch)]
