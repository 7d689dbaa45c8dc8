"""HTTP/1 requests from received bytes, with one strict interpretation of each (RFC 9110 and 9112).

httptools parses the header sections and the bodies. The end of each header section is found here, so that its size is
limited, and so that an offer to upgrade the connection does not stop the parser (RFC 9110, 7.8 allows to ignore it).
"""

import re
from collections.abc import Sequence

import httptools

from service.http.response import CLOSE, Header
from service.problems import BadRequest, HeadTooLarge

MAX_HEADER_BYTES = 64 * 1024  # request line and headers; also chunk headers and trailers without any body bytes

_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_IGNORED_UPGRADE = b"x-ignored-upgrade"
_HTTP_1 = b" HTTP/1."


class Request:
    """A request line and header section, and what is known of the body."""

    __slots__ = (
        "chunked",
        "content_length",
        "expects_continue",
        "headers",
        "headers_complete",
        "is_complete",
        "keep_alive",
        "method",
        "target",
        "version",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.version = "1.1"
        self.headers: list[Header] = []  # names in lower case, in order
        self.content_length: int | None = None
        self.chunked = False
        self.expects_continue = False  # Expect: 100-continue
        self.keep_alive = True  # whether the client accepts another response on the connection
        self.headers_complete = False
        self.is_complete = False  # the body has ended


def check_target(target: bytes) -> None:
    """Check the request target, which the parser accepts in more forms than the application.

    Raises:
        BadRequest: the target is no path and no absolute URL.
    """
    try:
        path = httptools.parse_url(target).path
    except httptools.HttpParserInvalidURLError:
        path = None
    if not path:
        raise BadRequest("the request target is not a path", headers=(CLOSE,))


class RequestParser:
    """Parses the bytes of a connection, one request at a time."""

    __slots__ = ("_body", "_buffer", "_bytes_without_body", "_parser", "_remaining", "request")

    def __init__(self) -> None:
        self.request = Request()
        self._parser = httptools.HttpRequestParser(self)
        self._buffer = b""  # an incomplete header section, or what follows a complete request
        self._body: list[bytes] = []  # since the last feed
        self._remaining = 0  # bytes of a body of known length
        self._bytes_without_body = 0  # of a chunked body: chunk headers and trailers since the last body bytes

    @property
    def num_buffered(self) -> int:
        """The number of bytes that are not parsed yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Parse received bytes up to the end of the current request, and return the parts of its body.

        The state of ``request`` changes. Bytes after its end are kept for the next request.

        Raises:
            BadRequest: the bytes are not a valid request; the connection must be closed.
            HeadTooLarge: the header section or the trailers are too large; likewise.
        """
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        request = self.request
        try:
            if not request.headers_complete:
                data = self._feed_headers(data)
            if data and request.headers_complete and not request.is_complete:
                data = self._feed_chunked(data) if request.chunked else self._feed_body(data)
        except httptools.HttpParserUpgrade:
            raise BadRequest("the method CONNECT is not supported", headers=(CLOSE,)) from None
        except httptools.HttpParserError as error:
            raise BadRequest(f"malformed HTTP: {error}", headers=(CLOSE,)) from None
        self._buffer = data
        if not self._body:
            return ()
        body, self._body = self._body, []
        return body

    def next(self) -> None:
        """Begin the next request."""
        self.request = Request()

    def _feed_headers(self, data: bytes) -> bytes:
        """Parse a complete header section, and return the bytes after it."""
        if data.startswith(b"\r\n"):
            data = data.lstrip(b"\r\n")  # empty lines before a request (RFC 9112, 2.2)
        end = data.find(b"\r\n\r\n") + 4
        if (end if end > 3 else len(data)) > MAX_HEADER_BYTES:
            raise HeadTooLarge(f"the header section has over {MAX_HEADER_BYTES} bytes; send fewer or shorter headers")
        if end == 3:
            line = data.find(b"\n")  # an invalid request line is refused before the rest arrives
            if line >= 0 and data[line - 10 : line - 2] != _HTTP_1:
                raise BadRequest("the first line is not an HTTP/1 request line", headers=(CLOSE,))
            return data
        headers = data[:end]
        line = headers.find(b"\r\n")
        if headers[line - 9 : line - 1] != _HTTP_1:
            raise BadRequest("the first line is not an HTTP/1 request line", headers=(CLOSE,))
        offers_upgrade = b"\r\nupgrade:" in headers.lower()
        if offers_upgrade:
            headers = _UPGRADE.sub(b"\r\n" + _IGNORED_UPGRADE + b":", headers)
        self._parser.feed_data(headers)
        if offers_upgrade:
            self.request.headers[:] = [header for header in self.request.headers if header[0] != _IGNORED_UPGRADE]
        self._read_headers()
        return data[end:]

    def _feed_body(self, data: bytes) -> bytes:
        """Parse a body of known length, and return the bytes after it."""
        count = min(len(data), self._remaining)
        self._remaining -= count
        if count == len(data):
            self._parser.feed_data(data)
            return b""
        self._parser.feed_data(data[:count])
        return data[count:]

    def _feed_chunked(self, data: bytes) -> bytes:
        """Parse a chunked body line by line, because it ends with a line, and return the bytes after it."""
        position = 0
        while position < len(data) and not self.request.is_complete:
            end = data.find(b"\n", position) + 1 or len(data)
            self._bytes_without_body += end - position
            self._parser.feed_data(data[position:end])
            if self._bytes_without_body > MAX_HEADER_BYTES:
                raise HeadTooLarge(
                    f"the chunk headers or trailers have over {MAX_HEADER_BYTES} bytes; send shorter ones"
                )
            position = end
        return data[position:]

    # Called by httptools.

    def on_url(self, url: bytes) -> None:
        """Store the request target."""
        self.request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; trailers are ignored."""
        if not self.request.headers_complete:
            self.request.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Store what the parser knows of the header section; it forgets that at the end of the request."""
        request, parser = self.request, self._parser
        request.headers_complete = True
        request.method, request.version = parser.get_method(), parser.get_http_version()
        request.keep_alive = request.version == "1.1" and parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """Store a part of the body."""
        self._body.append(data)
        self._bytes_without_body = 0

    def on_message_complete(self) -> None:
        """Note the end of the request."""
        self.request.is_complete = True

    def _read_headers(self) -> None:
        """Set the fields of the request that its headers determine.

        Raises:
            BadRequest: the Host header is missing or repeated, or the transfer coding is not supported.
        """
        request, num_hosts = self.request, 0
        for name, value in request.headers:
            if name == b"host":
                num_hosts += 1
            elif name == b"content-length":
                request.content_length = self._remaining = int(value)
            elif name == b"transfer-encoding":
                request.chunked = True
                if value.lower() != b"chunked" or request.version != "1.1":
                    raise BadRequest("the only supported transfer coding is chunked, in HTTP/1.1", headers=(CLOSE,))
            elif name == b"expect":
                request.expects_continue = value.lower() == b"100-continue"
        if num_hosts > 1 or (not num_hosts and request.version == "1.1"):
            raise BadRequest(f"expected one Host header, got {num_hosts}", headers=(CLOSE,))
