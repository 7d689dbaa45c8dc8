"""ASGI middleware in front of BentoML that handles the classify and infer routes.

The fast path handles most classify requests before they get here.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from service.batching.job import ClientLeft, DeadlinePassed
from service.http.access_log import log_request
from service.http.body import read_body
from service.http.failures import CLIENT_LEFT, find_problem
from service.http.forms import extract_image, extract_images, extract_named_image
from service.http.inference_paths import BENTOML_CLIENT_PATH, CLASSIFY_METHODS, PATH
from service.http.problem_response import encode_problem
from service.http.request import (
    EXCHANGE,
    REQUEST_ID,
    App,
    Headers,
    Message,
    Receive,
    Scope,
    ScopeExchange,
    Send,
    parse_headers,
)
from service.http.response import CLOSE, JSON, NO_SNIFF, Header, success_headers
from service.inference.classify import Classification, FirstResult, Timing
from service.inference.options import BATCH_OPTIONS, SINGLE_OPTIONS, parse_options
from service.inference.repository import ModelRepository
from service.inference.worker import Worker
from service.metrics import RequestCounter
from service.open_inference.handler import infer
from service.open_inference.request import JSON_LENGTH, parse_encoding
from service.problems import BadRequest, MethodNotAllowed, RequestTimeout

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(slots=True)
class _Call:
    """The state of one request."""

    scope: Scope
    receive: Receive
    headers: Headers
    exchange: ScopeExchange | None  # None if another server than ours runs the application
    model: str | None = None  # None at BENTOML_CLIENT_PATH until the form is parsed
    version: str | None = None
    action: str = "classify"  # or classify-batch, or infer
    requests: RequestCounter | None = None  # of the requested model
    timing: Timing = field(default_factory=Timing)
    body_headers: Sequence[Header] = JSON  # describe the response's body

    @property
    def first_result(self) -> FirstResult | None:
        """The result for the usual framing of the image, if it needs a second look."""
        return None if self.exchange is None else self.exchange.first_result

    def client_left(self) -> bool:
        """Return whether the client has disconnected; always False with another server."""
        return self.exchange is not None and self.exchange.is_abandoned

    def closing(self) -> Sequence[Header]:
        """Return the header of a response after which the connection has to close, if it has to."""
        return (CLOSE,) if self.exchange is not None and self.exchange.must_close else ()


class InferenceMiddleware:
    """Handles the classify and infer routes, and passes on every other request."""

    def __init__(self, app: App, *, worker: Worker) -> None:
        self._app = app
        self._worker = worker
        self._deadline_s = worker.settings.deadline_ms / 1000
        self._access_log = worker.settings.access_log
        self._unknown_model = RequestCounter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a classify or infer request, or pass another request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        call = _Call(scope, receive, parse_headers(scope), scope.get("state", {}).get(EXCHANGE))
        if CONTROL_CHARACTER.search(scope["path"]):  # Starlette's routes match a path before a final newline
            status = await self._refuse(call, send, BadRequest("the path contains a control character; remove it"))
        elif scope["method"] != "OPTIONS" and (
            (match := PATH.fullmatch(scope["path"])) or scope["path"] == BENTOML_CLIENT_PATH
        ):
            if match:
                call.model, call.version, call.action = match[2], match[3], match[4] or "infer"
            status = await self._respond(call, send)
            (call.requests or self._unknown_model).count(status)
        else:
            status = await self._pass_on(call, send)
        if self._access_log:
            seconds = time.perf_counter() - started
            request_id = call.headers.request_id
            log_request(scope["method"], scope["raw_path"], request_id=request_id, status=status, seconds=seconds)

    async def _pass_on(self, call: _Call, send: Send) -> int:
        """Pass a request on, add its id to the response, and return the status."""
        request_id, status = call.headers.request_id, 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id), *call.closing()]
                message["headers"] = headers if NO_SNIFF in headers else [*headers, NO_SNIFF]
            await send(message)

        call.scope[REQUEST_ID] = request_id.decode()
        await self._app(call.scope, call.receive, send_with_id)
        return status

    async def _respond(self, call: _Call, send: Send) -> int:
        """Send the response or a problem, and return its status."""
        request_id = call.headers.request_id
        try:
            is_admitted = call.exchange is not None and call.exchange.is_admitted
            with self._worker.admitted(again=is_admitted) as models:
                self._admit(call, models)
                body = await self._read_and_classify(call, models)
        except ClientLeft:
            await _send(send, 408, [(b"content-length", b"0")], b"")  # uvicorn drops it, but expects a response
            timed_out = call.exchange is not None and call.exchange.timed_out
            return RequestTimeout.status if timed_out else CLIENT_LEFT
        except Exception as error:
            return await self._refuse(call, send, error)
        headers = success_headers(body, request_id, call.timing, call.body_headers)
        await _send(send, 200, [*headers, *call.closing()], body)
        return 200

    async def _refuse(self, call: _Call, send: Send, error: Exception) -> int:
        """Send the problem for an error, and return its status."""
        request_id = call.headers.request_id
        problem = find_problem(error, request_id=request_id, deadline_s=self._deadline_s)
        headers, body = encode_problem(problem, call.scope["path"])
        closing = () if CLOSE in headers else call.closing()
        await _send(send, problem.status, [*headers, (b"x-request-id", request_id), *closing], body)
        return problem.status

    def _admit(self, call: _Call, models: ModelRepository) -> None:
        """Check the limits that do not need the body."""
        if call.scope["method"] != "POST":
            raise MethodNotAllowed(call.scope["method"], CLASSIFY_METHODS)
        if call.model is not None:
            model = models.find(call.model, call.version)
            call.requests = model.metrics.requests
            if call.first_result is None:
                model.batcher.check_room()

    async def _read_and_classify(self, call: _Call, models: ModelRepository) -> bytes:
        """Read the body and classify its images.

        Raises:
            DeadlinePassed: the classification took too long.
        """
        settings, budget = self._worker.settings, self._worker.budget
        limit = settings.max_body_bytes if call.action == "classify" else settings.max_batch_body_bytes
        expected = "a JSON request" if call.action == "infer" else "an image"
        body = await read_body(call.receive, call.headers, limit=limit, budget=budget, expected=expected)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._classify(call, models, body)
        except TimeoutError:
            raise DeadlinePassed from None
        finally:
            budget.release(len(body))

    async def _classify(self, call: _Call, models: ModelRepository, body: bytes) -> bytes:
        content_type, name = call.headers.content_type, call.model
        if name is None:
            name, body = extract_named_image(body, content_type)
        model = models.find(name, call.version)
        call.requests = model.metrics.requests
        if call.model is None:
            model.batcher.check_room()
        if call.first_result is not None:
            call.timing = call.first_result.timing
        classification = Classification(
            worker=self._worker, model=model, client_left=call.client_left, timing=call.timing
        )
        if call.action == "infer":
            response, json_length = await infer(classification, body, parse_encoding(call.scope["headers"]))
            if json_length is not None:
                call.body_headers = (
                    (b"content-type", b"application/octet-stream"),
                    (JSON_LENGTH, b"%d" % json_length),
                )
            return response
        is_batch = call.action == "classify-batch"
        options = parse_options(call.scope["query_string"], BATCH_OPTIONS if is_batch else SINGLE_OPTIONS)
        classification = replace(classification, options=options)
        if is_batch:
            return await classification.classify_batch(extract_images(body, content_type))
        image = body if call.model is None else extract_image(body, content_type)
        return await classification.classify_image(image, call.first_result)


async def _send(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
