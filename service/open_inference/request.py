"""Parser for requests of the Open Inference Protocol (KServe v2, REST).

Two extensions of Triton are supported: binary tensors after the JSON, and ``classification``, which requests the most
likely classes as ``value:index:label``.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

import math
import zlib
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.problems import BadRequest, BodyTooLarge, UnsupportedEncoding
from service.settings import MAX_IMAGES

JSON_LENGTH = b"inference-header-content-length"  # the header: bytes of JSON before the binary tensors
INPUT, INPUT_TYPE = "images", "UINT8"
MAX_DEPTH = 4  # of nested lists: images, rows, columns, channels

_SHORT_LIST = Field(max_length=8)  # validation of a long list would check every item and report every error
_JSON_BASE_BYTES, _JSON_BYTES_PER_NUMBER = 64 * 1024, 8  # 8: three digits, a comma and whitespace


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, fields: object) -> object:
        """Take null as absent, as the servers of KServe and MLServer do."""
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if value is not None}


class _InputParameters(_Strict):
    binary_data_size: int | None = None  # bytes


class _Input(_Strict):
    name: str
    datatype: str
    shape: Annotated[list[int], _SHORT_LIST]
    data: Any = None
    parameters: _InputParameters = _InputParameters()


class _OutputParameters(_Strict):
    binary_data: bool | None = None
    classification: Annotated[int, Field(ge=0)] = 0  # number of most likely classes; 0: the tensor itself


class Output(_Strict):
    """A requested output tensor."""

    name: str
    parameters: _OutputParameters = _OutputParameters()


class _Parameters(_Strict):
    binary_data_output: bool = False


class InferRequest(_Strict):
    """The JSON of a request; other fields are ignored."""

    id: str = ""
    inputs: Annotated[list[_Input], _SHORT_LIST]
    outputs: Annotated[list[Output], _SHORT_LIST] = []
    parameters: _Parameters = _Parameters()


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The headers that describe the body of a request."""

    json_length: int | None = None  # bytes of JSON, uncompressed; None: the whole body
    is_compressed: bool = False  # with gzip or deflate


def parse_encoding(headers: Sequence[tuple[bytes, bytes]]) -> Encoding:
    """Parse the headers that describe the body.

    Raises:
        BadRequest: the length of the JSON is not a number.
        UnsupportedEncoding: the body is compressed with another method than gzip or deflate.
    """
    length, is_compressed = None, False
    for name, value in headers:
        if name == JSON_LENGTH:
            if not (value.isdigit() and len(value) < 12):
                text = value[:50].decode("latin-1")
                raise BadRequest(f"Inference-Header-Content-Length: expected a number of bytes, got '{text}'")
            length = int(value)
        elif name == b"content-encoding" and value.lower() != b"identity":
            is_compressed = True
            if value.lower() not in {b"gzip", b"deflate"}:
                text = value[:50].decode("latin-1")
                raise UnsupportedEncoding(f"Content-Encoding '{text}' is not supported; use gzip, deflate or none")
    return Encoding(json_length=length, is_compressed=is_compressed)


def decompress(body: bytes, limit: int) -> bytes:
    """Decompress a body in gzip's or zlib's format.

    Raises:
        BadRequest: the body is damaged.
        BodyTooLarge: it has over ``limit`` bytes after decompression.
    """
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)  # finds the format in the header
    try:
        content = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadRequest(f"the compressed body is damaged: {error}") from error
    if len(content) > limit:
        raise BodyTooLarge(f"the body has over {limit} bytes after decompression, expected at most {limit}")
    if not decompressor.eof:
        raise BadRequest("the compressed body is incomplete; was the upload cut off?")
    return content


def parse_infer(
    body: bytes, encoding: Encoding, image_shape: tuple[int, ...], *, max_bytes: int
) -> tuple[InferRequest, NDArray[np.uint8]]:
    """Parse a request; return it and its images, (N, *image_shape) uint8.

    Args:
        body: JSON, followed by the binary tensors if there are any.
        encoding: of the body.
        image_shape: without the batch axis.
        max_bytes: of the body after decompression.

    Raises:
        BadRequest: the request is malformed, or the model does not accept its tensor.
        BodyTooLarge: too many images, or more JSON than they need.
    """
    if encoding.is_compressed:
        body = decompress(body, max_bytes)
    json_end = len(body) if encoding.json_length is None else encoding.json_length
    if json_end > len(body):
        raise BadRequest(f"Inference-Header-Content-Length is {json_end}, but the body has only {len(body)} bytes")
    if json_end > (limit := _JSON_BASE_BYTES + _JSON_BYTES_PER_NUMBER * MAX_IMAGES * math.prod(image_shape)):
        raise BodyTooLarge(f"{json_end} bytes of JSON, expected at most {limit}; send binary tensors")
    try:
        request = InferRequest.model_validate(orjson.loads(body[:json_end].removeprefix(BOM_UTF8)))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the request is not JSON: {error}") from error
    except ValidationError as error:
        first_error = error.errors()[0]
        field = ".".join(map(str, first_error["loc"]))
        raise BadRequest(f"{field or 'the request'}: {first_error['msg']}") from error
    return request, _parse_images(request, body[json_end:], image_shape)


def _parse_images(request: InferRequest, binary: bytes, image_shape: tuple[int, ...]) -> NDArray[np.uint8]:
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
        return _parse_numbers(tensor.data, count * math.prod(image_shape)).reshape(count, *image_shape)
    if not size == len(binary) == count * math.prod(image_shape):
        raise BadRequest(
            f"{INPUT}: {len(binary)} bytes follow the JSON, but binary_data_size is {size} and shape is {tensor.shape}"
        )
    return np.frombuffer(binary, np.uint8).reshape(count, *image_shape)


def _parse_numbers(data: object, count: int) -> NDArray[np.uint8]:
    """Convert nested or flat lists to an array."""
    first, depth = data, 0
    while isinstance(first, list) and first:
        first, depth = first[0], depth + 1
    if depth > MAX_DEPTH:
        raise BadRequest(f"{INPUT}: data is nested {depth} deep, expected at most {MAX_DEPTH}")
    try:  # dtype=object: a NumPy array of strings gives every item the size of the longest
        numbers = np.array(data if isinstance(data, list) else [], dtype=object)
    except ValueError:  # lists of unequal lengths
        numbers = np.array([], dtype=object)
    all_integers = numbers.size == count and set(map(type, numbers.flat)) == {int}
    if not all_integers or numbers.min() < 0 or numbers.max() > 255:
        raise BadRequest(f"{INPUT}: expected data of {count} whole numbers from 0 to 255")
    return numbers.astype(np.uint8)
