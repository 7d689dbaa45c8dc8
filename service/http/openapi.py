"""The OpenAPI 3.1 document, generated from settings and problem classes."""

import re
from collections.abc import Iterable
from typing import Any

from models.contract import FAMILIARITY_THRESHOLD
from service import problems as p
from service.settings import API_VERSION, MAX_IMAGES, MIB, Settings

Json = dict[str, Any]

_CLASSIFICATION, _MODELS, _INFERENCE, _OPERATION = "Classification", "Models", "Open Inference Protocol", "Operation"
_TAGS = (
    {"name": _CLASSIFICATION, "description": "Class probabilities of images."},
    {"name": _MODELS, "description": "The served models and their cards."},
    {"name": _INFERENCE, "description": "Tensors instead of image files, for KServe and Triton clients."},
    {"name": _OPERATION, "description": "Health checks and metrics."},
)
_REQUEST = (p.BadRequest, p.HeadTooLarge, p.RequestTimeout, p.BodyTooLarge)
_IMAGE = (p.ImageTooLarge, p.UnsupportedImage, p.UnreadableImage)
_MODEL = (p.UnknownModel, p.UnknownVersion)
_SERVER = (p.InternalError, p.Overloaded, p.NotReady, p.Draining, p.DeadlineExceeded)

_PREDICTION: Json = {
    "label": {"type": "string", "description": "the most likely class"},
    "confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "its probability"},
    "probabilities": {
        "type": "object",
        "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
        "description": "by class name, in class order, summing to 1; with `top`, only the most likely",
    },
}
_FAMILIARITY: Json = {
    "familiarity": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": "the share of validation images whose in-distribution score is no higher than this image's",
    },
    "familiar": {"type": "boolean", "description": f"whether `familiarity` is at least {FAMILIARITY_THRESHOLD}"},
}
_SUMMARY: Json = {
    "name": {"type": "string"},
    "versions": {"type": "array", "items": {"type": "string"}},
    "default": {"type": "string", "description": "version for requests that name none"},
    "device": {"type": "string", "enum": ["cpu", "cuda"]},
    "precision": {"type": "string", "enum": ["float32", "int8", "float16"]},
    "classes": {"type": "integer"},
    "accuracy": {"type": ["number", "null"], "description": "on the test split, 0 to 1; null: not measured"},
    "calibrated": {"type": "boolean", "description": "whether the probabilities were calibrated (temperature scaling)"},
    "familiarity": {"type": "boolean", "description": "whether predictions have `familiarity`"},
}
_TOP: Json = {
    "name": "top",
    "in": "query",
    "schema": {"type": "integer", "minimum": 1},
    "description": "number of most likely classes to return",
}
_EXPLAIN: Json = {
    "name": "explain",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "also return `saliency`, how much each pixel matters for the prediction",
}
_PIXELS: Json = {
    "name": "pixels",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "also return `pixels`, the preprocessed image that the model received",
}
_RANKING: Json = {
    "ranking": {
        "type": "array",
        "items": {"type": "string"},
        "description": "with `top`, the class names in `probabilities`, most likely first",
    },
}
_EXTRA_IMAGES: Json = {
    "saliency": {
        "type": "string",
        "description": "with `explain`, a grey PNG of the model's image size as a data URL; brighter pixels "
        "matter more (occlusion, Zeiler and Fergus 2014)",
    },
    "pixels": {"type": "string", "description": "with `pixels`, a PNG of the model's image size as a data URL"},
}


def openapi(settings: Settings) -> Json:
    """Return the OpenAPI document."""
    paths: Json = {
        "/classify": {"post": _classify_for_bentoml()},
        "/v1/models": {"get": _get("List the models", _object(models={"type": "array", "items": _object(**_SUMMARY)}))},
    }
    for prefix, names in (
        ("/v1/models/{model}", ["model"]),
        ("/v1/models/{model}/versions/{version}", ["model", "version"]),
    ):
        parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
        show = _get("Get a model's card and shapes", {"type": "object"}, _MODEL)
        paths[prefix] = {"parameters": parameters, "get": show}
        paths[f"{prefix}/classify"] = {
            "parameters": [*parameters, _TOP, _EXPLAIN, _PIXELS],
            "post": _classify(settings),
        }
        paths[f"{prefix}/classify-batch"] = {"parameters": [*parameters, _TOP], "post": _classify_batch(settings)}
    paths |= _inference_protocol()
    for path, summary in (("/livez", "Alive"), ("/readyz", "Ready for requests"), ("/metrics", "Prometheus metrics")):
        paths[path] = {"get": {"tags": [_OPERATION], "summary": summary, "responses": {"200": {"description": "OK"}}}}
    problem = {"type": "object", "required": ["type", "title", "status", "detail", "code"]} | _object(
        type={"type": "string"},
        title={"type": "string"},
        status={"type": "integer"},
        detail={"type": "string", "description": "what was found, what is allowed and what to do"},
        code={"type": "string", "description": "identifier that programs can test"},
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Image classifier",
            "version": API_VERSION,
            "description": "Send an image, get calibrated class probabilities. An image has at most "
            f"{_size(settings.max_body_bytes)} and {settings.max_pixels:,} pixels.",
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "."}],  # relative, so that a path prefix of a proxy works
        "tags": list(_TAGS),
        "paths": paths,
        "components": {"schemas": {"Problem": problem}},
    }


def _classify(settings: Settings) -> Json:
    body = {
        "image/*": {"schema": {"type": "string", "format": "binary", "maxLength": settings.max_body_bytes}},
        "multipart/form-data": {"schema": _object(image=_FILE)},
    }
    response = _object(_FAMILIARITY | _RANKING | _EXTRA_IMAGES, **_NAMED, **_PREDICTION)
    return _post("Classify an image", body, response, (*_REQUEST, *_MODEL, *_IMAGE, *_SERVER))


def _classify_batch(settings: Settings) -> Json:
    files: Json = {"type": "array", "items": _FILE, "minItems": 1, "maxItems": MAX_IMAGES}
    body = {"multipart/form-data": {"schema": _object(images=files)}}
    either = {"anyOf": [_object(_FAMILIARITY | _RANKING, **_PREDICTION), {"$ref": "#/components/schemas/Problem"}]}
    response = _object(**_NAMED, predictions={"type": "array", "items": either})
    summary = f"Classify up to {MAX_IMAGES} images, {_size(settings.max_batch_body_bytes)} in total"
    return _post(summary, body, response, (*_REQUEST, *_MODEL, *_SERVER))


def _classify_for_bentoml() -> Json:
    body = {"multipart/form-data": {"schema": _object(image=_FILE, model={"type": "string"})}}
    response = _object(_FAMILIARITY, **_NAMED, **_PREDICTION)
    return _post(
        "Classify an image (BentoML's generated clients)",
        body,
        response,
        (*_REQUEST, p.UnknownModel, *_IMAGE, *_SERVER),
    )


def _inference_protocol() -> Json:
    """Describe the Open Inference Protocol briefly; its specification is elsewhere."""
    paths: Json = {}
    for path, summary in (
        ("", "Get the server's name and extensions"),
        ("/health/live", "Alive"),
        ("/health/ready", "Ready for requests"),
        ("/models/{model}", "Get a model's tensors"),
        ("/models/{model}/ready", "A model is ready"),
        ("/models/{model}/versions/{version}", "Get a version's tensors"),
        ("/models/{model}/versions/{version}/ready", "A version is ready"),
    ):
        paths[f"/v2{path}"] = _v2(path, "get", summary)
    for path in ("/models/{model}/infer", "/models/{model}/versions/{version}/infer"):
        paths[f"/v2{path}"] = _v2(path, "post", "Classify images sent as tensors")
    return paths


def _v2(path: str, method: str, summary: str) -> Json:
    names = re.findall(r"{(\w+)}", path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    error = {"description": "an error", "content": {"application/json": {"schema": _object(error={"type": "string"})}}}
    responses: Json = {"200": {"description": "OK"}, "default": error}
    operation: Json = {"tags": [_INFERENCE], "summary": summary, "responses": responses}
    if method == "post":
        tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 28, 28], "data": [[[0] * 28] * 28]}
        example = {"schema": {"type": "object"}, "example": {"inputs": [tensor]}}
        operation["requestBody"] = {"required": True, "content": {"application/json": example}}
    return {"parameters": parameters, method: operation}


_FILE = {"type": "string", "format": "binary"}
_NAMED = {"model": {"type": "string"}, "version": {"type": "string"}}


def _object(optional: Json | None = None, /, **properties: Json) -> Json:
    """Describe an object; properties in ``optional`` may be absent."""
    return {"type": "object", "properties": properties | (optional or {}), "required": list(properties)}


def _get(summary: str, schema: Json, problems: Iterable[type[p.Problem]] = ()) -> Json:
    return {"tags": [_MODELS], "summary": summary, "responses": _responses(schema, (*problems, p.NotReady))}


def _post(summary: str, content: Json, schema: Json, problems: Iterable[type[p.Problem]]) -> Json:
    return {
        "tags": [_CLASSIFICATION],
        "summary": summary,
        "requestBody": {"required": True, "content": content},
        "responses": _responses(schema, problems),
    }


def _responses(schema: Json, problems: Iterable[type[p.Problem]]) -> Json:
    responses: Json = {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}}
    content = {p.CONTENT_TYPE.decode(): {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for problem in problems:
        response = responses.setdefault(str(problem.status), {"description": "", "content": content})
        meaning = f"`{problem.code}`: {(problem.__doc__ or '').rstrip('.')}"
        response["description"] = "; ".join(filter(None, [response["description"], meaning]))
    return responses


def _size(count: int) -> str:
    """Return a number of bytes in MiB, if it is a whole number of them."""
    return f"{count // MIB} MiB" if count % MIB == 0 else f"{count:,} bytes"
