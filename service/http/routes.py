"""The Starlette application: models, OpenAPI, metrics, pages and the 404."""

import logging
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from models.contract import FAMILIARITY
from service import metrics
from service.http.inference_paths import BENTOML_CLIENT_PATH, CLASSIFY_METHODS, PATH
from service.http.openapi import openapi
from service.http.page import page_routes
from service.http.problem_response import encode_problem
from service.http.request import REQUEST_ID, Scope
from service.inference.repository import ModelRepository, ServedModel, highest
from service.inference.worker import Worker
from service.open_inference.routes import inference_routes
from service.problems import InternalError, MethodNotAllowed, NotFound, Problem

logger = logging.getLogger("classifier")

BENTOML_ROUTES = {"/livez", "/readyz", "/healthz"}


def create_routes(worker: Worker) -> Starlette:
    """Return the application; each request gets the models from ``worker``."""

    async def list_models(_: Request) -> Response:
        return JSONResponse({"models": [_summary(name, worker.models) for name in worker.models.models]})

    async def show_model(request: Request) -> Response:
        path = request.path_params
        return JSONResponse(_describe(worker.models.find(path["model"], path.get("version"))))

    async def show_metrics(_: Request) -> Response:
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)

    async def show_openapi(_: Request) -> Response:
        return JSONResponse(openapi(worker.settings))

    routes = [
        Route("/v1/models", list_models),
        Route("/v1/models/{model}", show_model),
        Route("/v1/models/{model}/versions/{version}", show_model),
        Route("/openapi.json", show_openapi),
        Route("/metrics", show_metrics),
        *inference_routes(worker),
        *page_routes(),
    ]

    def find_methods(scope: Scope) -> str | None:
        """Return the methods of a path, for an Allow header, or None if there is no such path."""
        path = scope["path"]
        if path in BENTOML_ROUTES:
            return "GET, HEAD, OPTIONS"
        if PATH.fullmatch(path) or path == BENTOML_CLIENT_PATH:
            return CLASSIFY_METHODS
        for route in routes:
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                return ", ".join(sorted({*(route.methods or ()), "OPTIONS"}))
        return None

    async def reject(request: Request) -> Response:  # also reached if only the method is wrong
        path = request.url.path
        if methods := find_methods(request.scope):
            if request.method == "OPTIONS":
                return Response(status_code=204, headers={"allow": methods})
            raise MethodNotAllowed(request.method, methods)
        if path.endswith("/") and find_methods({**request.scope, "path": path.rstrip("/")}):
            location = f"{'../' * (len(path) - len(path.rstrip('/')))}{path.rstrip('/').rpartition('/')[2]}"
            query = f"?{request.url.query}" if request.url.query else ""
            return Response(status_code=308, headers={"location": quote(location, safe="/") + query})
        raise _not_found(request)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(
        routes=[*routes, Route("/{path:path}", reject, methods=methods)],
        exception_handlers={Problem: _problem, HTTPException: _http_exception, Exception: _internal_error},
    )


def _summary(name: str, models: ModelRepository) -> dict[str, Any]:
    versions = models.models[name]
    default = versions[highest(versions)]
    test = default.card.test
    return {
        "name": name,
        "versions": list(versions),
        "default": default.card.version,
        "device": default.classifier.device,
        "precision": default.card.precision,
        "classes": len(default.card.class_names),
        "accuracy": test.accuracy if test else None,
        "calibrated": default.card.temperature is not None,
        "familiarity": default.classifier.has_familiarity,
    }


def _describe(model: ServedModel) -> dict[str, Any]:
    outputs = {"probabilities": {"dtype": "float32", "shape": ["batch", len(model.card.class_names)]}}
    if model.classifier.has_familiarity:
        outputs[FAMILIARITY] = {"dtype": "float32", "shape": ["batch"]}
    return model.card.to_dict() | {
        "device": model.classifier.device,
        "inputs": {"images": {"dtype": "uint8", "shape": ["batch", *model.classifier.image_shape]}},
        "outputs": outputs,
    }


async def _problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    headers, body = encode_problem(problem, request.url.path)
    return Response(body, problem.status, {name.decode(): value.decode() for name, value in headers})


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:  # no route has this method
        allowed = (error.headers or {}).get("Allow", "GET, HEAD")
        return await _problem(request, MethodNotAllowed(request.method, allowed))
    return await _problem(request, _not_found(request))  # raised by StaticFiles


def _not_found(request: Request) -> NotFound:
    return NotFound(f"no route at {request.url.path}; /openapi.json lists the routes")


async def _internal_error(request: Request, error: Exception) -> Response:
    request_id = request.scope[REQUEST_ID]
    logger.error("request %s failed: %r", request_id, error)  # uvicorn logs the traceback
    return await _problem(request, InternalError(request_id))
