"""The errors a client may see, each an RFC 9457 problem: one class a code.

Problem
├── BadRequest            400 bad_request
├── UnknownModel          404 unknown_model
├── UnknownVersion        404 unknown_version
├── NotFound              404 not_found
├── MethodNotAllowed      405 method_not_allowed
├── RequestTimeout        408 timeout
├── BodyTooLarge          413 body_too_large
├── ImageTooLarge         413 image_too_large
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

RETRY_AFTER_S = 1  # what a refused client is told
CONTENT_TYPE = b"application/problem+json"


class ProblemBody(TypedDict):
    """A problem as the client reads it (RFC 9457, with ``code`` for programs to branch on)."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Problem(Exception):
    """A request that got no prediction; ``detail`` says what was found and what is right."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, detail: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail.encode("utf-8", "replace").decode()  # a decoder's message may quote any bytes
        self.headers = headers

    def body(self) -> ProblemBody:
        """Return the JSON object of the answer."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }

    def render(self) -> bytes:
        """Return the answer's body."""
        return orjson.dumps(self.body())


class BadRequest(Problem):
    """The body is empty or malformed, or a query value is not one of those allowed."""

    status, code = 400, "bad_request"


class UnknownModel(Problem):
    """The path names a model that the repository does not hold."""

    status, code = 404, "unknown_model"


class UnknownVersion(Problem):
    """The path names a version that the model does not have."""

    status, code = 404, "unknown_version"


class NotFound(Problem):
    """No route has this path."""

    status, code = 404, "not_found"


class MethodNotAllowed(Problem):
    """The route exists, with another verb."""

    status, code = 405, "method_not_allowed"

    def __init__(self, method: str, allow: str) -> None:
        super().__init__(
            f"method {method} is not allowed here, expected {allow}", headers=((b"allow", allow.encode()),)
        )


class RequestTimeout(Problem):
    """The head or the body came too slowly."""

    status, code = 408, "timeout"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers=((b"connection", b"close"),))


class BodyTooLarge(Problem):
    """The body, or the number of its parts, is over the limit."""

    status, code = 413, "body_too_large"


class ImageTooLarge(Problem):
    """The picture has more pixels than the limit, by its own header."""

    status, code = 413, "image_too_large"


class UnsupportedImage(Problem):
    """The bytes begin like no format that is read."""

    status, code = 415, "unsupported_image"


class UnreadableImage(Problem):
    """The bytes begin like an image and cannot be decoded."""

    status, code = 422, "unreadable_image"


class HeadTooLarge(Problem):
    """The request line and the headers are over the limit."""

    status, code = 431, "head_too_large"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers=((b"connection", b"close"),))


class InternalError(Problem):
    """The service's own fault."""

    status, code = 500, "internal_error"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request {request_id} failed; the log says why")


class _Unavailable(Problem):
    """Not now; the client is told when to come back."""

    status = 503

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers=((b"retry-after", b"%d" % RETRY_AFTER_S),))


class Overloaded(_Unavailable):
    """The queue or the budget of bytes in flight is full, or the wait for a turn would be too long."""

    code = "overloaded"


class NotReady(_Unavailable):
    """The service is still starting."""

    code = "not_ready"


class Draining(_Unavailable):
    """The service is stopping."""

    code = "draining"


class DeadlineExceeded(Problem):
    """No answer within the time limit."""

    status, code = 504, "deadline_exceeded"
