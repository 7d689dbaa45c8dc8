"""Responses of the Open Inference Protocol: tensors, top classes and errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from models.contract import FAMILIARITY
from service.inference.repository import ServedModel
from service.open_inference.request import InferRequest, Output
from service.prediction import Prediction
from service.problems import BadRequest, Problem

PROBABILITIES = "probabilities"
OUTPUT_TYPE = "FP32"

Json = dict[str, Any]


def render_infer(
    request: InferRequest, model: ServedModel, predictions: Sequence[Prediction]
) -> tuple[bytes, int | None]:
    """Return the response body, and the bytes of its JSON if binary tensors follow.

    Raises:
        BadRequest: the model does not have a requested output, or the output has no classes.
    """
    tensors: dict[str, NDArray[np.float32]] = {
        PROBABILITIES: np.array([prediction.probabilities for prediction in predictions], np.float32)
    }
    if model.classifier.has_familiarity:
        tensors[FAMILIARITY] = np.array([prediction.familiarity for prediction in predictions], np.float32)
    if len(request.outputs) > len(tensors):
        raise BadRequest(f"outputs: {len(request.outputs)} requested, the model has {len(tensors)}")
    outputs, binary = [], []
    for requested in request.outputs or [Output(name=name) for name in tensors]:
        if requested.name not in tensors:
            raise BadRequest(f"outputs: the model has no {requested.name[:50]!r}, expected one of {', '.join(tensors)}")
        description, data, content = _render_output(requested, tensors[requested.name], model.card.class_names)
        wants_binary = requested.parameters.binary_data
        if request.parameters.binary_data_output if wants_binary is None else wants_binary:
            binary.append(content)
            description["parameters"] = {"binary_data_size": len(content)}
        else:
            description["data"] = data
        outputs.append(description)
    response: Json = {"model_name": model.card.name, "model_version": model.card.version, "outputs": outputs}
    if request.id:
        response["id"] = request.id
    json_part = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([json_part, *binary]), len(json_part) if binary else None


def _render_output(
    requested: Output, tensor: NDArray[np.float32], class_names: Sequence[str]
) -> tuple[Json, object, bytes]:
    """Return an output without its data, its data for JSON, and its binary data."""
    count = requested.parameters.classification
    if not count:
        description = {"name": requested.name, "datatype": OUTPUT_TYPE, "shape": list(tensor.shape)}
        return description, tensor.ravel(), tensor.tobytes()
    if tensor.ndim != 2:
        raise BadRequest(f"outputs: {requested.name} has no classes; request it without `classification`")
    top_classes = np.argsort(-tensor, axis=1, kind="stable")[:, :count]
    texts = [
        f"{tensor[row, index]:f}:{index}:{class_names[index]}"
        for row, indices in enumerate(top_classes)
        for index in indices
    ]
    description = {"name": requested.name, "datatype": "BYTES", "shape": list(top_classes.shape)}
    encoded = [text.encode() for text in texts]
    return description, texts, b"".join(len(text).to_bytes(4, "little") + text for text in encoded)


def render_error(problem: Problem) -> bytes:
    """Return a problem in the protocol's format."""
    return orjson.dumps({"error": problem.detail})


def is_of_protocol(path: str) -> bool:
    """Return whether a path belongs to the protocol."""
    return path == "/v2" or path.startswith("/v2/")
