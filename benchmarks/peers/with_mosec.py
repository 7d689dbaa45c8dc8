"""mosec, as its documentation recommends: one stage that decodes and predicts in batches.

https://mosecorg.github.io/mosec/ A Rust server receives the requests, and one Python process runs the batches.
"""

import os

import numpy as np
from mosec import Server, Worker

from benchmarks.peers.onnx_model import load_model

MAX_BATCH_SIZE = 64
MAX_WAIT_MS = int(os.environ.get("MOSEC_MAX_WAIT_MS", "0"))  # for more requests; the best of 0, 1, 2, 5 and 10


class Classifier(Worker):
    """Decodes and classifies the images of a batch."""

    def __init__(self) -> None:
        self.model = load_model()

    def deserialize(self, data: bytes) -> bytes:
        """Return the body as it is."""
        return data

    def forward(self, data: list[bytes]) -> list[bytes]:
        """Return the response of each image."""
        images = [self.model.decode(body) for body in data]
        return [self.model.render_json(row) for row in self.model.run(np.stack(images))]

    def serialize(self, data: bytes) -> bytes:
        """Return the rendered response as it is."""
        return data


if __name__ == "__main__":
    server = Server()
    server.append_worker(Classifier, max_batch_size=MAX_BATCH_SIZE, max_wait_time=MAX_WAIT_MS)
    server.run()
