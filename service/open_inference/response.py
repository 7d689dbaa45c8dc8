"""Answers of the Open Inference Protocol (KServe v2, REST): tensors in JSON or binary, likeliest classes, errors."""

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


def render_infer(request: InferRequest, model: ServedModel, answers: Sequence[Prediction]) -> tuple[bytes, int | None]:
    """Return the answer's body, and the length of its JSON if binary tensors follow.

    Raises:
        BadRequest: an output that was asked for is none of the model's, or has no classes.
    """
    tensors: dict[str, NDArray[np.float32]] = {
        PROBABILITIES: np.array([answer.probabilities for answer in answers], np.float32)
    }
    if model.classifier.tells_familiarity:
        tensors[FAMILIARITY] = np.array([answer.familiarity for answer in answers], np.float32)
    if len(request.outputs) > len(tensors):
        raise BadRequest(f"outputs: {len(request.outputs)} asked for, the model has {len(tensors)}")
    outputs, binary = [], []
    for asked in request.outputs or [Output(name=name) for name in tensors]:
        if asked.name not in tensors:
            raise BadRequest(f"outputs: no {asked.name[:50]!r}, expected some of {', '.join(tensors)}")
        described, data, content = _render_output(asked, tensors[asked.name], model.card.class_names)
        wants_binary = asked.parameters.binary_data
        if request.parameters.binary_data_output if wants_binary is None else wants_binary:
            binary.append(content)
            described["parameters"] = {"binary_data_size": len(content)}
        else:
            described["data"] = data
        outputs.append(described)
    answer: Json = {"model_name": model.card.name, "model_version": model.card.version, "outputs": outputs}
    if request.id:
        answer["id"] = request.id
    head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([head, *binary]), len(head) if binary else None


def _render_output(
    asked: Output, tensor: NDArray[np.float32], class_names: Sequence[str]
) -> tuple[Json, object, bytes]:
    """Return an output without its data, its data for JSON, and the same in binary."""
    count = asked.parameters.classification
    if not count:
        described = {"name": asked.name, "datatype": OUTPUT_TYPE, "shape": list(tensor.shape)}
        return described, tensor.ravel(), tensor.tobytes()
    if tensor.ndim != 2:
        raise BadRequest(f"outputs: {asked.name} has no classes")
    likeliest = np.argsort(-tensor, axis=1, kind="stable")[:, :count]
    texts = [
        f"{tensor[row, index]:f}:{index}:{class_names[index]}"
        for row, indices in enumerate(likeliest)
        for index in indices
    ]
    described = {"name": asked.name, "datatype": "BYTES", "shape": list(likeliest.shape)}
    encoded = [text.encode() for text in texts]
    return described, texts, b"".join(len(text).to_bytes(4, "little") + text for text in encoded)


def render_error(problem: Problem) -> bytes:
    """Return a problem in the protocol's own shape."""
    return orjson.dumps({"error": problem.detail})


def is_of_protocol(path: str) -> bool:
    """Tell whether a path is the protocol's."""
    return path == "/v2" or path.startswith("/v2/")
