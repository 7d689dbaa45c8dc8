"""The page at GET /, the API reference at GET /docs, and their files."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.http.bentoml_adapter import SWAGGER_UI

STATIC = Path(__file__).parent / "static"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",  # revalidate, because the files of a version belong together
}

logger = logging.getLogger("classifier")


def page_routes(swagger_ui: Path = SWAGGER_UI) -> list[BaseRoute]:
    """Return the routes of both pages, or only of ``/`` if there is no Swagger UI."""
    files = _Files(directory=STATIC)

    def show(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def get(request: Request) -> Response:
            return await files.get_response(name, request.scope)

        return get

    routes: list[BaseRoute] = [Route("/", show("index.html")), Mount("/static", files)]
    if swagger_ui.is_dir():
        routes += [Route("/docs", show("docs.html")), Mount("/swagger", _Files(directory=swagger_ui))]
    else:
        logger.warning("no page at /docs: this version of BentoML has no Swagger UI in %s", swagger_ui)
    return routes


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response
