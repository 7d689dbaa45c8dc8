"""Framing of requests (RFC 9110 and 9112): one strict interpretation of every byte sequence."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.http.request_parser import MAX_HEADER_BYTES, RequestParser
from service.problems import BadRequest, HeadTooLarge

POST = b"POST /x HTTP/1.1\r\nhost: x\r\n"
PLAIN = POST + b"content-length: 5\r\n\r\nimage"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n2;a=b\r\n\r\n\r\n3\r\nage\r\n0\r\ntrailer: 1\r\n\r\n"
GET = b"GET /y?q=1 HTTP/1.1\r\nHost: x\r\nX-Y: \tz \r\n\r\n"
UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nuPgRaDe: h2c\r\nhttp2-settings: AAE\r\n"


def parse(pieces):
    """Return (method, target, body) of every request in the pieces of a connection's bytes."""
    parser, requests, body = RequestParser(), [], b""
    for piece in pieces:
        data = piece
        while True:
            body += b"".join(parser.feed(data))
            if not parser.request.is_complete:
                break
            requests.append((parser.request.method, parser.request.target, body))
            body, data = b"", b""
            parser.next()
            if not parser.num_buffered:
                break
    return requests


def parse_headers(data):
    parser = RequestParser()
    parser.feed(data)
    return parser.request


@given(st.lists(st.sampled_from([PLAIN, CHUNKED, GET, b"\r\n" + GET]), max_size=4), st.data())
def test_requests_do_not_depend_on_how_their_bytes_arrive(messages, data):
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = parse([stream])
    assert len(whole) == len(messages)
    assert parse(pieces) == whole
    assert parse(bytes([byte]) for byte in stream) == whole


def test_bodies_are_decoded():
    assert parse([PLAIN + CHUNKED + GET]) == [
        (b"POST", b"/x", b"image"),
        (b"POST", b"/x", b"\r\nage"),
        (b"GET", b"/y?q=1", b""),
    ]


def test_headers_have_names_in_lower_case_and_trimmed_values():
    request = parse_headers(GET)
    assert request.headers == [(b"host", b"x"), (b"x-y", b"z")]
    assert (request.version, request.keep_alive, request.content_length) == ("1.1", True, None)


@pytest.mark.parametrize("body", [b"content-length: 41\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"])
def test_an_offer_to_upgrade_is_ignored(body):
    parser = RequestParser()
    parser.feed(POST + UPGRADE + body)
    assert not parser.request.is_complete
    assert b"upgrade" not in dict(parser.request.headers)
    inner = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    parts = parser.feed(b"29\r\n" + inner + b"\r\n0\r\n\r\n" if parser.request.chunked else inner)
    assert (b"".join(parts), parser.request.is_complete, parser.num_buffered) == (inner, True, 0)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\r\n",  # HTTP/0.9
        b"GET / HTTP/0.9\r\n",
        b"GET / HTTP/2.0\r\nhost: x\r\n",
        b"GET / HTTP/1.2\r\nhost: x\r\n",
        b"DESCRIBE / RTSP/1.0\r\nhost: x\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTTP/1.1\r\n",  # no Host
        b"GET / HTTP/1.1\r\nhost: x\r\nHost: y\r\n",
        b"GET / HTTP/1.0\r\nhost: x\r\nhost: x\r\n",
        POST + b"transfer-encoding: identity, chunked\r\n",
        POST + b"transfer-encoding: gzip, chunked\r\n",
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        POST + b"transfer-encoding: identity\r\n",
        POST + b"transfer-encoding: xchunked\r\n",
        b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n",
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        POST + b"content-length: 5\r\ncontent-length: 5\r\n",
        POST + b"content-length: 5, 5\r\n",
        POST + b"content-length: +5\r\n",
        POST + b"content-length: 0x5\r\n",
        POST + b"content-length: 99999999999999999999999\r\n",
        POST + b"content-length:\r\n",
        POST + b"x : y\r\n",  # a space before the colon
        POST + b" folded\r\n",
        POST + b"x: y\r\n\tfolded\r\n",
        POST + b"x: \0\r\n",
        POST + b"x: a\rb: c\r\n",
        POST.replace(b"\r\n", b"\n") + b"x: y\r\n",  # bare line feeds
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n",
        b"UNKNOWN / HTTP/1.1\r\nhost: x\r\n",
    ],
)
def test_an_ambiguous_or_invalid_head_is_refused(head):
    with pytest.raises(BadRequest) as error:
        parse_headers(head + b"\r\n")
    assert (b"connection", b"close") in error.value.headers


@pytest.mark.parametrize("body", [b"x\r\n", b"-1\r\n", b"5\nimage\n0\n\n", b"2\r\nimage", b"ffffffffffffffffff\r\n"])
def test_an_invalid_chunk_is_refused(body):
    parser = RequestParser()
    parser.feed(POST + b"transfer-encoding: chunked\r\n\r\n")
    with pytest.raises(BadRequest):
        parser.feed(body)


def test_an_invalid_first_line_is_refused_before_the_rest_arrives():
    with pytest.raises(BadRequest):
        parse_headers(b"\x16\x03\x01\x02\n")


@pytest.mark.parametrize("target", [b"http://x/y", b"/a/../b", b"*", b"//x"])
def test_other_forms_of_a_target_are_passed_on(target):
    assert parse_headers(b"OPTIONS %b HTTP/1.1\r\nhost: x\r\n\r\n" % target).target == target


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\n", True),
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", False),
        (b"GET / HTTP/1.0\r\n", False),
        (b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n", False),
    ],
)
def test_connections_stay_open_as_the_client_asks(head, keep_alive):
    assert parse_headers(head + b"\r\n").keep_alive is keep_alive


def test_header_section_is_limited_whether_complete_or_not():
    line = b"x: " + b"y" * MAX_HEADER_BYTES
    for data in (POST + line + b"\r\n\r\n", POST + line):
        with pytest.raises(HeadTooLarge):
            parse_headers(data)


@pytest.mark.parametrize("lines", [b"x: y\r\n", b"y"])
def test_trailers_and_chunk_extensions_are_limited(lines):
    parser = RequestParser()
    parser.feed(POST + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n" + (b"0\r\n" if b":" in lines else b"1;"))

    def feed_all():
        for _ in range(MAX_HEADER_BYTES):
            parser.feed(lines)

    with pytest.raises(HeadTooLarge):
        feed_all()


@given(st.binary(max_size=300), st.sampled_from([b"", POST, PLAIN, CHUNKED[:-9], CHUNKED[:70]]))
@example(b"\r\n" * 50, b"")
def test_any_bytes_give_requests_or_a_problem(noise, beginning):
    try:
        for method, target, body in parse([beginning, noise]):
            assert method
            assert target
            assert len(body) <= len(beginning + noise)
    except (BadRequest, HeadTooLarge):
        pass
