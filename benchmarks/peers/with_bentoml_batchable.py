"""BentoML's adaptive batching, as its page "Adaptive batching" writes a service."""

import bentoml
import numpy as np
from PIL.Image import Image

from benchmarks.peers.onnx_model import load_model


@bentoml.service(workers=1)
class BatchableClassifier:
    """Images of concurrent calls in one batch."""

    def __init__(self) -> None:
        self.model = load_model()

    @bentoml.api(batchable=True, max_batch_size=64)
    def classify(self, images: list[Image]) -> list[dict[str, object]]:
        """Classify a batch."""
        batch = np.stack([self.model.prepare(image) for image in images])
        return [self.model.answer(row) for row in self.model.run(batch)]
