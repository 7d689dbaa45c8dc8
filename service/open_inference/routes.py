"""Metadata and health routes of the Open Inference Protocol."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models.contract import FAMILIARITY
from service.inference.repository import ServedModel
from service.inference.worker import Worker
from service.open_inference.request import INPUT, INPUT_TYPE
from service.open_inference.response import OUTPUT_TYPE, PROBABILITIES
from service.settings import API_VERSION

NAME = "image-classifier"
EXTENSIONS = ["binary_tensor_data", "classification"]
MODEL = "/v2/models/{model}"


def inference_routes(worker: Worker) -> list[Route]:
    """Return the routes; each request gets the models from ``worker``."""

    async def show_server(_: Request) -> Response:
        return JSONResponse({"name": NAME, "version": API_VERSION, "extensions": EXTENSIONS})

    async def is_live(_: Request) -> Response:
        return _state("live", worker.state != "failed")

    async def is_ready(_: Request) -> Response:
        return _state("ready", worker.state == "ready")

    async def show_model(request: Request) -> Response:
        model = find(request)
        return JSONResponse(_describe(model, list(worker.models.models[model.card.name])))

    async def is_model_ready(request: Request) -> Response:
        return JSONResponse({"name": find(request).card.name, "ready": True})

    def find(request: Request) -> ServedModel:
        return worker.models.find(request.path_params["model"], request.path_params.get("version"))

    return [
        Route("/v2", show_server),
        Route("/v2/", show_server),  # the path in the protocol's own OpenAPI document
        Route("/v2/health/live", is_live),
        Route("/v2/health/ready", is_ready),
        *(Route(path, show_model) for path in (MODEL, f"{MODEL}/versions/{{version}}")),
        *(Route(f"{path}/ready", is_model_ready) for path in (MODEL, f"{MODEL}/versions/{{version}}")),
    ]


def _state(name: str, value: bool) -> Response:
    return JSONResponse({name: value}, 200 if value else 503)


def _describe(model: ServedModel, versions: list[str]) -> dict[str, Any]:
    outputs = [{"name": PROBABILITIES, "datatype": OUTPUT_TYPE, "shape": [-1, len(model.card.class_names)]}]
    if model.classifier.has_familiarity:
        outputs.append({"name": FAMILIARITY, "datatype": OUTPUT_TYPE, "shape": [-1]})
    return {
        "name": model.card.name,
        "versions": versions,
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": INPUT, "datatype": INPUT_TYPE, "shape": [-1, *model.classifier.image_shape]}],
        "outputs": outputs,
    }
