"""The fast path: small classify requests without a task, a timer or an ASGI scope.

It uses the same functions as the middleware and gives the same bytes, but for the request id and the timing. Requests
that it does not recognise are left to the application.
"""

import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from service.batching.job import ClientLeft, DeadlinePassed, Job
from service.http.access_log import log_request
from service.http.failures import CLIENT_LEFT, find_problem
from service.http.forms import extract_image
from service.http.inference_paths import PATH
from service.http.problem_response import encode_problem
from service.http.request import Headers, parse_headers
from service.http.request_parser import Request
from service.http.response import Header, success_headers
from service.inference.classify import (
    INLINE_BYTES,
    FirstResult,
    PreparedImage,
    Timing,
    count_unfamiliar,
    decode_small,
    needs_second_look,
)
from service.inference.options import ClassifyOptions, parse_options
from service.inference.repository import ServedModel
from service.inference.worker import Worker
from service.problems import BadRequest, Problem, RequestTimeout

if TYPE_CHECKING:
    from service.http.connection import Connection


class Match(NamedTuple):
    """A request that names a model and an action of it."""

    model: ServedModel
    options: ClassifyOptions | None  # None if the application has to handle the request


class FastPath:
    """Finds the requests that it can handle, for all connections of a worker."""

    def __init__(self, worker: Worker, *, is_enabled: bool = True) -> None:
        self.worker = worker
        self._is_enabled = is_enabled
        self._has_cors = bool(worker.settings.cors_origins)

    def match(self, request: Request) -> Match | None:
        """Return the model of a classify request, or None for other requests."""
        if request.method != b"POST" or self.worker.state != "ready":
            return None
        if self._has_cors and any(name == b"origin" for name, _ in request.headers):
            return None  # the application adds headers to the response
        if (target := _parse_target(request.target)) is None:
            return None
        name, version, options = target
        try:
            model = self.worker.models.find(name, version)
        except Problem:
            return None
        is_small = (
            self._is_enabled
            and request.content_length is not None
            and 0 < request.content_length <= INLINE_BYTES
            and not request.expects_continue
        )
        return Match(model, options if is_small else None)


class FastRequest:
    """A small classify request, from its headers to its response."""

    __slots__ = (
        "_body",
        "_connection",
        "_headers",
        "_held",
        "_image",
        "_is_over",
        "_job",
        "_match",
        "_request",
        "_started",
        "_timing",
        "_worker",
    )

    def __init__(self, match: Match, request: Request, connection: "Connection", worker: Worker) -> None:
        self._match, self._request, self._connection, self._worker = match, request, connection, worker
        self._headers: Headers = parse_headers({"headers": request.headers})
        self._body = b""
        self._image: PreparedImage | None = None
        self._held = 0  # bytes of an incomplete body in the upload budget
        self._job: Job | None = None
        self._is_over = False
        self._timing = Timing()
        self._started = time.perf_counter()
        worker.begin_request()

    def receive(self, parts: Sequence[bytes]) -> None:
        """Add the next parts of the body, and classify the image when it is complete."""
        try:
            if parts:
                self._body = b"".join((self._body, *parts)) if self._body or len(parts) > 1 else parts[0]
            if self._request.is_complete:
                self._classify()
            elif len(self._body) > self._held:
                count = len(self._body) - self._held
                self._held += count  # also the bytes of a refused take count until they are released
                self._worker.budget.take(count)
        except Exception as error:
            self._fail(error)

    def abandon(self, *, timed_out: bool = False) -> None:
        """End the request without a response, because the client has left or the body timed out."""
        if self._job is None:  # otherwise the batcher drops the job, or it ends
            self._end(RequestTimeout.status if timed_out else CLIENT_LEFT)

    def check(self) -> None:
        """Respond if the deadline has passed while the image waits or runs."""
        job = self._job
        if job is not None and time.perf_counter() > job.deadline:
            job.abandon()
            self._fail(DeadlinePassed())

    def _classify(self) -> None:
        started = time.perf_counter()
        model = self._match.model
        image = decode_small(extract_image(self._body, self._headers.content_type), model, self._worker.settings)
        if image is None:
            self._hand_over()
            return
        self._image = image
        if image.is_unchanged or model.other_framings is None:
            self._body = b""  # a second look would need it
        self._timing.decode = time.perf_counter() - started
        model.metrics.decode_seconds.observe(self._timing.decode)
        job = model.batcher.submit(
            [image.pixels],
            on_done=self._on_done,
            client_left=self._connection.transport.is_closing,
            timeout_s=self._worker.settings.deadline_ms / 1000,
        )
        if not job.is_done:  # a full batch runs at once
            self._job = job

    def _hand_over(self, first: FirstResult | None = None) -> None:
        """Let the application handle a request that takes longer."""
        self._connection.hand_over([self._body], first)
        self._connection.loop.call_soon(self._release)  # after the application has counted the request as in flight

    def _on_done(self, job: Job) -> None:
        self._job = None  # the job refers to this method
        try:
            if job.error is not None:
                raise job.error
            model, options = self._match
            (prediction,) = job.predictions
            self._timing.queue = job.started - job.submitted
            self._timing.inference = job.finished - job.started
            assert self._image is not None
            if needs_second_look(self._image, prediction, model):
                if self._connection.transport.is_closing():
                    raise ClientLeft
                self._hand_over(FirstResult(self._image, prediction, self._timing))
                return
            count_unfamiliar(model, job.predictions)
            assert options is not None
            body = model.renderer.render(model.renderer.to_dict(prediction, options.top))
        except Exception as error:
            self._fail(error)
            return
        headers = success_headers(body, self._headers.request_id, self._timing)
        self._respond(200, headers, body)

    def _fail(self, error: Exception) -> None:
        """Send the problem for an error."""
        self._job = None
        if isinstance(error, ClientLeft):
            self._end(CLIENT_LEFT)
            return
        request_id, deadline_s = self._headers.request_id, self._worker.settings.deadline_ms / 1000
        problem = find_problem(error, request_id=request_id, deadline_s=deadline_s)
        headers, body = encode_problem(problem, path="")
        self._respond(problem.status, [*headers, (b"x-request-id", request_id)], body)

    def _respond(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        self._end(status)
        self._connection.respond(status, headers, body)

    def _end(self, status: int) -> None:
        if self._is_over:  # the client left while its job was dropped
            return
        self._is_over = True
        self._release()
        self._match.model.metrics.requests.count(status)
        if self._worker.settings.access_log:
            log_request(
                "POST",
                self._request.target.partition(b"?")[0],
                request_id=self._headers.request_id,
                status=status,
                seconds=time.perf_counter() - self._started,
            )

    def _release(self) -> None:
        self._worker.budget.release(self._held)
        self._held = 0
        self._worker.end_request()


@lru_cache(maxsize=64)  # targets of up to MAX_HEADER_BYTES
def _parse_target(target: bytes) -> tuple[str, str | None, ClassifyOptions | None] | None:
    """Return the model, version and options of a classify request.

    The options are None if they are invalid, or if the request takes more than one prediction. Other targets give None.
    """
    path, _, query = target.partition(b"?")
    match = PATH.fullmatch(path.decode("latin-1"))
    if match is None or match[4] is None:  # errors of the Open Inference Protocol have another format
        return None
    try:
        options = parse_options(query)
    except BadRequest:
        return match[2], match[3], None
    is_plain = match[4] == "classify" and not options.explain and not options.pixels
    return match[2], match[3], options if is_plain else None
