"""Parsing of multipart/form-data."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.multipart import is_multipart, parse
from service.problems import BadRequest, BodyTooLarge, Problem

TYPE = b"multipart/form-data; boundary=XX"


def encode(parts):
    """Encode a form with httpx."""
    request = httpx.Request("POST", "http://x", files=[(name, ("f", content)) for name, content in parts])
    return request.read(), request.headers["content-type"].encode()


@given(st.lists(st.tuples(st.sampled_from(["image", "images", 'quo"ted', "ä"]), st.binary(max_size=200)), min_size=1))
def test_parsing_returns_every_part_byte_for_byte(parts):
    body, content_type = encode(parts)
    if any(name == 'quo"ted' for name, _ in parts):
        parts = [(name.replace('"', "%22"), content) for name, content in parts]  # as browsers and httpx escape it
    assert [(part.name, part.content) for part in parse(body, content_type, max_parts=1000)] == parts


@given(st.binary(max_size=400))
def test_any_bytes_give_parts_or_a_problem(noise):
    for body in (noise, b"--XX\r\n" + noise, b"--XX\r\n" + noise + b"\r\n--XX--"):
        try:
            parse(body, TYPE, max_parts=10)
        except Problem as problem:
            assert problem.status in {400, 413}


def test_a_truncated_body_is_refused():
    body, content_type = encode([("image", b"0123456789")])
    whole = body.rstrip(b"\r\n")
    for length in range(len(whole) - 1):
        with pytest.raises(BadRequest):
            parse(whole[:length], content_type, max_parts=10)


@pytest.mark.parametrize(
    "headers",
    [
        b'Content-Disposition: form-data; name="image"; filename="name=other.png"',
        b'Content-Disposition: form-data; filename="a; name=b.png"; name="image"',
        b"content-disposition:form-data;name=image",
        b'CONTENT-DISPOSITION: form-data; filename="x"; name="image"',
        b'Content-Type: image/png\r\nContent-Disposition: form-data; name="image"',
    ],
)
def test_all_forms_of_the_disposition_header_are_parsed(headers):
    body = b"--XX\r\n" + headers + b"\r\n\r\ncontent\r\n--XX--\r\n"
    assert [(part.name, part.content) for part in parse(body, TYPE, max_parts=10)] == [("image", b"content")]


def test_preamble_and_blanks_after_a_boundary_are_ignored():
    body = b'preamble\r\n--XX  \r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--XX--\r\nepilogue'
    assert parse(body, b'multipart/form-data; charset=utf-8; BOUNDARY="XX"', max_parts=1)[0].content == b"1"


def test_a_boundary_within_a_line_does_not_end_a_part():
    body = b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\nx--XX y\r\n--XX--'
    assert parse(body, TYPE, max_parts=1)[0].content == b"x--XX y"


def test_the_error_for_a_missing_boundary_or_name_names_it():
    with pytest.raises(BadRequest, match="boundary"):
        parse(b"--XX--", b"multipart/form-data", max_parts=1)
    with pytest.raises(BadRequest, match="Content-Disposition"):
        parse(b"--XX\r\nContent-Type: image/png\r\n\r\n1\r\n--XX--", TYPE, max_parts=1)


def test_one_part_too_many_is_refused():
    body, content_type = encode([("image", b"1")] * 3)
    assert len(parse(body, content_type, max_parts=3)) == 3
    with pytest.raises(BodyTooLarge, match="at most 2"):
        parse(body, content_type, max_parts=2)


def test_only_forms_are_multipart():
    assert is_multipart(b"Multipart/Form-Data; boundary=x")
    assert not is_multipart(b"image/png")
    assert not is_multipart(b"multipart/mixed; boundary=x")


def test_headers_of_a_part_are_limited_to_8_kib():
    body = b'--XX\r\nContent-Disposition: form-data; name="' + b"a" * 10_000_000 + b'"\r\n\r\n1\r\n--XX--'
    with pytest.raises(BadRequest, match="8192 bytes"):
        parse(body, TYPE, max_parts=1)
