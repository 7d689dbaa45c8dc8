"""ASGI middleware in front of BentoML that handles the classify and infer routes."""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from service.batching.job import ClientLeft, ModelFailed
from service.http.access_log import log_request
from service.http.body import read_body
from service.http.forms import extract_image, extract_images, extract_named_image
from service.http.problem_response import encode_problem
from service.http.request import REQUEST_ID, App, Headers, Message, Receive, Scope, Send, parse_headers
from service.http.uvicorn_adapter import client_left, send_at_once
from service.inference.classify import Classification, Timing
from service.inference.options import parse_options
from service.inference.repository import ModelRepository
from service.inference.worker import Worker
from service.metrics import RequestCounter
from service.open_inference.handler import infer
from service.open_inference.request import JSON_LENGTH, parse_json_length
from service.problems import (
    BadRequest,
    DeadlineExceeded,
    InternalError,
    MethodNotAllowed,
    Problem,
    RequestTimeout,
)

logger = logging.getLogger("classifier")

BENTOML_CLIENT_PATH = "/classify"  # called by BentoML's generated clients; the form names the model
CLIENT_LEFT = 499  # the status that nginx uses; in logs and metrics only

PATH = re.compile(r"/v(?:1|(2))/models/([^/]+)(?:/versions/([^/]+))?/(?(1)infer|(classify(?:-batch)?))")
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_JSON = ((b"content-type", b"application/json"),)


@dataclass(slots=True)
class _Exchange:
    """The state of one request."""

    scope: Scope
    receive: Receive
    headers: Headers
    model: str | None = None  # None at BENTOML_CLIENT_PATH until the form is parsed
    version: str | None = None
    action: str = "classify"  # or classify-batch, or infer
    requests: RequestCounter | None = None  # of the requested model
    timing: Timing = field(default_factory=Timing)
    body_complete: bool = False
    response_headers: tuple[tuple[bytes, bytes], ...] = _JSON


class InferenceMiddleware:
    """Handles the classify and infer routes, and passes on every other request."""

    def __init__(self, app: App, *, worker: Worker) -> None:
        self._app = app
        self._worker = worker
        settings = worker.settings
        self._deadline_s = settings.deadline_ms / 1000
        self._body_s = min(settings.body_timeout_ms / 1000, self._deadline_s)
        self._access_log = settings.access_log
        self._unknown_model = RequestCounter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a classify or infer request, or pass another request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange = _Exchange(scope, receive, parse_headers(scope))
        if CONTROL_CHARACTER.search(scope["path"]):  # Starlette's routes match a path before a final newline
            await _refuse(exchange, send, BadRequest("the path contains a control character; remove it"))
            status = BadRequest.status
        elif (match := PATH.fullmatch(scope["path"])) or scope["path"] == BENTOML_CLIENT_PATH:
            if match:
                exchange.model, exchange.version, exchange.action = match[2], match[3], match[4] or "infer"
            status = await self._respond(exchange, send)
            (exchange.requests or self._unknown_model).count(status)
        else:
            status = await self._pass_on(exchange, send)
        if self._access_log:
            seconds = time.perf_counter() - started
            log_request(scope, request_id=exchange.headers.request_id, status=status, seconds=seconds)

    async def _pass_on(self, exchange: _Exchange, send: Send) -> int:
        """Pass a request on, add its id to the response, and return the status."""
        request_id, status = exchange.headers.request_id, 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        exchange.scope[REQUEST_ID] = request_id.decode()
        await self._app(exchange.scope, exchange.receive, send_with_id)
        return status

    async def _respond(self, exchange: _Exchange, send: Send) -> int:
        """Send the response or a problem, and return its status."""
        request_id = exchange.headers.request_id
        try:
            with self._worker.admitted() as models:
                self._admit(exchange, models)
                body = await self._run_within_limits(exchange, models)
        except Problem as problem:
            await _refuse(exchange, send, problem)
            return problem.status
        except ClientLeft:
            await _send(
                send, 408, [(b"content-length", b"0")], b""
            )  # the server expects a response even after the client has left
            return CLIENT_LEFT
        except Exception as error:
            if isinstance(error, ModelFailed):  # the batcher has logged the traceback
                logger.warning("request %s failed with its batch", request_id.decode())
            else:
                logger.exception("request %s failed", request_id.decode())
            await _refuse(exchange, send, InternalError(request_id.decode()))
            return InternalError.status
        headers = [
            *exchange.response_headers,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id),
            (b"server-timing", exchange.timing.header()),
        ]
        await _send(send, 200, headers, body)
        return 200

    def _admit(self, exchange: _Exchange, models: ModelRepository) -> None:
        """Check the limits that do not need the body."""
        if exchange.scope["method"] != "POST":
            raise MethodNotAllowed(exchange.scope["method"], "POST")
        if exchange.model is not None:
            model = models.find(exchange.model, exchange.version)
            exchange.requests = model.metrics.requests
            model.batcher.check_room()

    async def _run_within_limits(self, exchange: _Exchange, models: ModelRepository) -> bytes:
        """Read and classify, with one timer for the body and for the whole request.

        Raises:
            RequestTimeout: the body did not arrive in time.
            DeadlineExceeded: the request took too long.
        """
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(started + self._body_s) as limit:
                return await self._read_and_classify(
                    exchange, models, lambda: limit.reschedule(started + self._deadline_s)
                )
        except TimeoutError:
            if exchange.body_complete:
                raise DeadlineExceeded(
                    f"no prediction within {self._deadline_s:g} s; send fewer or smaller images, or retry later"
                ) from None
            raise RequestTimeout(
                f"the body did not arrive within {self._body_s:g} s; send a smaller body or use a faster connection"
            ) from None

    async def _read_and_classify(
        self, exchange: _Exchange, models: ModelRepository, extend_timeout: Callable[[], None]
    ) -> bytes:
        """Read the body and classify its images."""
        settings, budget = self._worker.settings, self._worker.budget
        limit = settings.max_body_bytes if exchange.action == "classify" else settings.max_batch_body_bytes
        body = await read_body(exchange.receive, exchange.headers, limit=limit, budget=budget)
        try:
            exchange.body_complete = True
            if self._deadline_s > self._body_s:
                extend_timeout()
            return await self._classify(exchange, models, body)
        finally:
            budget.release(len(body))

    async def _classify(self, exchange: _Exchange, models: ModelRepository, body: bytes) -> bytes:
        content_type, name = exchange.headers.content_type, exchange.model
        if name is None:
            name, body = extract_named_image(body, content_type)
        model = models.find(name, exchange.version)
        exchange.requests = model.metrics.requests
        if exchange.model is None:
            model.batcher.check_room()
        classification = Classification(
            worker=self._worker,
            model=model,
            options=parse_options(exchange.scope["query_string"]),
            client_left=client_left(exchange.receive),
            timing=exchange.timing,
        )
        if exchange.action == "infer":
            response, json_length = await infer(classification, body, parse_json_length(exchange.scope["headers"]))
            if json_length is not None:
                exchange.response_headers = (
                    (b"content-type", b"application/octet-stream"),
                    (JSON_LENGTH, b"%d" % json_length),
                )
            return response
        if exchange.action == "classify-batch":
            return await classification.classify_batch(extract_images(body, content_type))
        return await classification.classify_image(
            body if exchange.model is None else extract_image(body, content_type)
        )


async def _refuse(exchange: _Exchange, send: Send, problem: Problem) -> None:
    """Send a problem in the format of the requested protocol."""
    headers, body = encode_problem(problem, exchange.scope["path"])
    await _send(send, problem.status, [*headers, (b"x-request-id", exchange.headers.request_id)], body)


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    start = {"type": "http.response.start", "status": status, "headers": headers}
    await send_at_once(send, start, {"type": "http.response.body", "body": body})
