"""What clients of the Open Inference Protocol send besides plain requests: nulls, compression, byte order marks."""

import gzip
import json
import zlib

import numpy as np
import pytest
from support.tiny_models import ANIMALS

INFER = "/v2/models/zoo/infer"
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
TENSOR = {"name": "images", "datatype": "UINT8", "shape": list(IMAGES.shape), "data": IMAGES.tolist()}
BODY = json.dumps({"inputs": [TENSOR]}).encode()


def post(service, content, **headers):
    response = service.post(INFER, content=content, headers=headers)
    return response.status_code, response.json()


@pytest.fixture
def expected(service):
    status, body = post(service, BODY)
    assert (status, body["outputs"][0]["shape"]) == (200, [2, len(ANIMALS)])
    return body


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None},
        {"parameters": None, "outputs": None},
        {"inputs": [TENSOR | {"parameters": None}]},
        {"inputs": [TENSOR | {"parameters": {"binary_data_size": None}}]},
        {"outputs": [{"name": "probabilities", "parameters": None}]},
    ],
)
def test_null_is_the_same_as_an_absent_field(service, expected, fields):
    assert post(service, json.dumps({"inputs": [TENSOR]} | fields).encode()) == (200, expected)


@pytest.mark.parametrize("fields", [{"inputs": None}, {"inputs": [None]}, {"inputs": [TENSOR | {"name": None}]}])
def test_null_does_not_replace_a_required_field(service, fields):
    status, body = post(service, json.dumps({"inputs": [TENSOR]} | fields).encode())
    assert status == 400
    assert body["error"].startswith("inputs")


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_body_is_decompressed(service, expected, encoding, compress):
    assert post(service, compress(BODY), **{"content-encoding": encoding}) == (200, expected)


@pytest.mark.parametrize("content", [gzip.compress(BODY, mtime=0)[:-9], b"no gzip", gzip.compress(BODY, mtime=0)[:30]])
def test_damaged_compressed_body_is_400(service, content):
    status, body = post(service, content, **{"content-encoding": "gzip"})
    assert status == 400
    assert "compressed body" in body["error"]


def test_compressed_body_is_limited_after_decompression(start):
    service = start(max_batch_body_bytes=100_000)
    status, body = post(service, gzip.compress(bytes(10**7)), **{"content-encoding": "gzip"})
    assert (status, body["error"]) == (
        413,
        "the body has over 100000 bytes after decompression, expected at most 100000",
    )


def test_unsupported_encoding_is_415_with_the_supported_ones(service):
    response = service.post(INFER, content=BODY, headers={"content-encoding": "br"})
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip, deflate")


def test_byte_order_mark_is_ignored(service, expected):
    assert post(service, b"\xef\xbb\xbf" + BODY) == (200, expected)


def test_empty_body_message_names_the_json_request(service):
    assert post(service, b"") == (400, {"error": "the body is empty, expected a JSON request"})


@pytest.mark.parametrize("depth", [5, 33, 64, 500])
def test_deeply_nested_data_is_400(service, depth):
    data = b"[" * depth + b"0" + b"]" * depth
    body = json.dumps({"inputs": [TENSOR | {"data": "DATA"}]}).encode().replace(b'"DATA"', data)
    status, answer = post(service, body)
    assert status == 400
    assert answer["error"]


def test_server_metadata_has_both_paths(service):
    assert service.get("/v2/").json() == service.get("/v2").json()
