"""The errors that clients receive: RFC 9457 problems, one class per code.

Problem
├── BadRequest            400 bad_request
├── UnknownModel          404 unknown_model
├── UnknownVersion        404 unknown_version
├── NotFound              404 not_found
├── MethodNotAllowed      405 method_not_allowed
├── RequestTimeout        408 timeout
├── BodyTooLarge          413 body_too_large
├── ImageTooLarge         413 image_too_large
├── UnsupportedEncoding   415 unsupported_encoding
├── UnsupportedImage      415 unsupported_image
├── UnreadableImage       422 unreadable_image
├── HeadTooLarge          431 head_too_large
├── InternalError         500 internal_error
├── Overloaded            503 overloaded
├── NotReady              503 not_ready
├── Draining              503 draining
└── DeadlineExceeded      504 deadline_exceeded
"""

from http import HTTPStatus
from typing import ClassVar, TypedDict

import orjson

RETRY_AFTER_S = 1  # the Retry-After header of a 503
CONTENT_TYPE = b"application/problem+json"


class ProblemBody(TypedDict):
    """JSON body of a problem (RFC 9457); programs can test ``code``."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Problem(Exception):
    """An error response; ``detail`` is what was found, what is allowed and what to do."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, detail: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail.encode("utf-8", "replace").decode()  # a decoder's message may quote any bytes
        self.headers = headers

    def body(self) -> ProblemBody:
        """Return the JSON object of the response."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }

    def render(self) -> bytes:
        """Return the body of the response."""
        return orjson.dumps(self.body())


class BadRequest(Problem):
    """The body is empty or malformed, a form part is missing, or a query value or the path is invalid."""

    status, code = 400, "bad_request"


class UnknownModel(Problem):
    """No model has this name; the message lists the models."""

    status, code = 404, "unknown_model"


class UnknownVersion(Problem):
    """The model has no such version; the message lists the versions."""

    status, code = 404, "unknown_version"


class NotFound(Problem):
    """No route has this path."""

    status, code = 404, "not_found"


class MethodNotAllowed(Problem):
    """The route does not have this method."""

    status, code = 405, "method_not_allowed"

    def __init__(self, method: str, allow: str) -> None:
        super().__init__(
            f"method {method} is not allowed here, expected {allow}", headers=((b"allow", allow.encode()),)
        )


class RequestTimeout(Problem):
    """The header section or the body did not arrive in time."""

    status, code = 408, "timeout"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers=((b"connection", b"close"),))


class BodyTooLarge(Problem):
    """The body has too many bytes or too many parts."""

    status, code = 413, "body_too_large"


class ImageTooLarge(Problem):
    """The image has too many pixels."""

    status, code = 413, "image_too_large"


class UnsupportedImage(Problem):
    """The image format is not supported."""

    status, code = 415, "unsupported_image"


class UnsupportedEncoding(Problem):
    """The Content-Encoding of the body is not supported."""

    status, code = 415, "unsupported_encoding"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers=((b"accept-encoding", b"gzip, deflate"),))


class UnreadableImage(Problem):
    """The image cannot be decoded, or its decoding would cost too much."""

    status, code = 422, "unreadable_image"


class HeadTooLarge(Problem):
    """The header section is too large."""

    status, code = 431, "head_too_large"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers=((b"connection", b"close"),))


class InternalError(Problem):
    """A fault of the service; the log has the request id."""

    status, code = 500, "internal_error"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request {request_id} failed; search the log for this id")


class _Unavailable(Problem):
    """A temporary refusal with a Retry-After header."""

    status = 503

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers=((b"retry-after", b"%d" % RETRY_AFTER_S),))


class Overloaded(_Unavailable):
    """The queue is full, the expected wait is too long, or too many uploads are in progress."""

    code = "overloaded"


class NotReady(_Unavailable):
    """The models are not loaded yet."""

    code = "not_ready"


class Draining(_Unavailable):
    """The worker is stopping."""

    code = "draining"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers = (*self.headers, (b"connection", b"close"))  # the next connection reaches another worker


class DeadlineExceeded(Problem):
    """The request took too long."""

    status, code = 504, "deadline_exceeded"
