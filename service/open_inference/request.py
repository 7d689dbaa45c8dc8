"""What a request of the Open Inference Protocol (KServe v2, REST) asks, with two extensions of Triton's.

Tensors may be binary, after the JSON, and ``classification`` asks for the likeliest classes as ``value:index:label``.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.problems import BadRequest, BodyTooLarge
from service.settings import MAX_IMAGES

JSON_LENGTH = b"inference-header-content-length"  # the header: bytes of JSON before the binary tensors
INPUT, INPUT_TYPE = "images", "UINT8"

_FEW = Field(max_length=8)  # of more, each would be checked and each error told
_JSON_BYTES, _JSON_BYTES_A_NUMBER = 64 * 1024, 8  # 8: three digits, a comma, and room for layout


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _InputParameters(_Strict):
    binary_data_size: int | None = None  # bytes


class _Input(_Strict):
    name: str
    datatype: str
    shape: Annotated[list[int], _FEW]
    data: Any = None
    parameters: _InputParameters = _InputParameters()


class _OutputParameters(_Strict):
    binary_data: bool | None = None
    classification: Annotated[int, Field(ge=0)] = 0  # the so many likeliest classes; 0: the tensor itself


class Output(_Strict):
    """A tensor that is asked for."""

    name: str
    parameters: _OutputParameters = _OutputParameters()


class _Parameters(_Strict):
    binary_data_output: bool = False


class InferRequest(_Strict):
    """The JSON of a request; what it has beyond this is nobody's business."""

    id: str = ""
    inputs: Annotated[list[_Input], _FEW]
    outputs: Annotated[list[Output], _FEW] = []
    parameters: _Parameters = _Parameters()


def read_json_length(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    """Return how many bytes of a body are JSON, where its headers say so.

    Raises:
        BadRequest: they say so in no number, or that the body is compressed.
    """
    length = None
    for name, value in headers:
        if name == JSON_LENGTH:
            if not (value.isdigit() and len(value) < 12):
                raise BadRequest(f"Inference-Header-Content-Length: expected a number of bytes, got {value[:50]!r}")
            length = int(value)
        elif name == b"content-encoding" and value != b"identity":
            raise BadRequest(f"content-encoding {value[:50]!r}: expected none")
    return length


def read_infer(
    body: bytes, json_length: int | None, image_shape: tuple[int, ...]
) -> tuple[InferRequest, NDArray[np.uint8]]:
    """Return a request and its images, (N, ...) uint8 as the model takes them.

    Args:
        body: JSON, and after it the binary tensors if there are any.
        json_length: bytes of the JSON, where the request says so; None: all are JSON.
        image_shape: without the batch.

    Raises:
        BadRequest: it is malformed, or its tensor is not what the model takes.
        BodyTooLarge: it has too many images, or more JSON than they need.
    """
    end = len(body) if json_length is None else json_length
    if end > len(body):
        raise BadRequest(f"Inference-Header-Content-Length is {end}, the body has {len(body)} bytes")
    if end > (most := _JSON_BYTES + _JSON_BYTES_A_NUMBER * MAX_IMAGES * math.prod(image_shape)):
        raise BodyTooLarge(f"{end} bytes of JSON, expected at most {most}; send binary tensors")
    try:
        request = InferRequest.model_validate(orjson.loads(body[:end]))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the request is no JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRequest(f"{where or 'the request'}: {first['msg']}") from error
    return request, _read_images(request, body[end:], image_shape)


def _read_images(request: InferRequest, binary: bytes, image_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if [tensor.name for tensor in request.inputs] != [INPUT]:
        raise BadRequest(f"inputs: expected one, `{INPUT}`; got {[tensor.name[:50] for tensor in request.inputs[:5]]}")
    (tensor,) = request.inputs
    if tensor.datatype != INPUT_TYPE:
        raise BadRequest(f"{INPUT}: expected datatype {INPUT_TYPE}, got {tensor.datatype[:50]}")
    count, *image = tensor.shape or [0]
    if tuple(image) != image_shape or count < 1:
        raise BadRequest(f"{INPUT}: expected shape {['N', *image_shape]}, got {tensor.shape[:8]}")
    if count > MAX_IMAGES:
        raise BodyTooLarge(f"{INPUT}: {count} images, expected at most {MAX_IMAGES}")
    size = tensor.parameters.binary_data_size
    if size is None:
        return _read_numbers(tensor.data, count * math.prod(image_shape)).reshape(count, *image_shape)
    if not size == len(binary) == count * math.prod(image_shape):
        raise BadRequest(
            f"{INPUT}: {len(binary)} bytes follow the JSON, binary_data_size is {size}, shape {tensor.shape}"
        )
    return np.frombuffer(binary, np.uint8).reshape(count, *image_shape)


def _read_numbers(data: object, count: int) -> NDArray[np.uint8]:
    """Make nested or flat lists an array."""
    try:  # as objects: of texts NumPy would make room for the longest, that many times
        numbers = np.array(data if isinstance(data, list) else [], dtype=object)
    except ValueError:  # lists of other lengths beside each other
        numbers = np.array([], dtype=object)
    are_whole = numbers.size == count and set(map(type, numbers.flat)) == {int}
    if not are_whole or numbers.min() < 0 or numbers.max() > 255:
        raise BadRequest(f"{INPUT}: expected data of {count} whole numbers from 0 to 255")
    return numbers.astype(np.uint8)
