"""A LitServe API with batching, after its page "Batching"."""

import argparse

import litserve
import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from benchmarks.peers.onnx_model import load_model


class ClassifierAPI(litserve.LitAPI):
    """Classifier API with batched predictions."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the model in the worker process."""
        self.model = load_model()

    def decode_request(self, request: Request) -> NDArray[np.uint8]:
        """Decode the upload, whose form LitServe has parsed."""
        return self.model.decode(request["image"].file.read())

    def predict(self, x: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify a batch."""
        return self.model.run(x)

    def unbatch(self, output: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Split a batch into one row per request."""
        return list(output)

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, object]:
        """Build the response of one request."""
        return self.model.render(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    api = ClassifierAPI(max_batch_size=64, batch_timeout=0.005, api_path="/classify")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=parser.parse_args().port, num_api_servers=1, generate_client_file=False)
