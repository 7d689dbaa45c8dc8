"""Routes, methods, redirects and headers of the whole application."""

import pytest
from starlette.routing import Mount, Route
from support.service import MNIST, MNIST_BATCH, problem

from service.http.routes import create_routes

ORIGIN = "https://page.example"


def test_every_route_is_known(service):
    routes = [route for route in create_routes(service.worker).routes if isinstance(route, Route | Mount)]
    assert sorted({route.path for route in routes}) == sorted(
        [
            "/",
            "/docs",
            "/metrics",
            "/openapi.json",
            "/static",
            "/swagger",
            "/v1/models",
            "/v1/models/{model}",
            "/v1/models/{model}/versions/{version}",
            "/v2",
            "/v2/",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/models/{model}",
            "/v2/models/{model}/ready",
            "/v2/models/{model}/versions/{version}",
            "/v2/models/{model}/versions/{version}/ready",
            "/{path:path}",  # everything else: 404, 405, 308 or the answer to OPTIONS
        ]
    )


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/v1/models/", "../models"),
        ("/v1/models/mnist/?x=1", "../mnist?x=1"),
        ("/v1/models//", "../../models"),
        ("/livez/", "../livez"),
        (f"{MNIST}/", "../classify"),
    ],
)
def test_a_trailing_slash_is_redirected(service, path, location):
    for method in ("GET", "POST"):
        (response,) = service.ask((method, path, {}))
        assert (response.status_code, response.headers["location"]) == (308, location)


def test_no_redirect_leads_to_another_host(service):
    assert service.get("http://test//evil.example/").status_code == 404


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (MNIST, "OPTIONS, POST"),
        (MNIST_BATCH, "OPTIONS, POST"),
        ("/v2/models/mnist/infer", "OPTIONS, POST"),
        ("/classify", "OPTIONS, POST"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
        ("/livez", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_lists_the_allowed_methods(service, path, allow):
    (response,) = service.ask(("OPTIONS", path, {}))
    assert (response.status_code, response.headers["allow"]) == (204, allow)


def test_options_of_an_unknown_path_is_404(service):
    (response,) = service.ask(("OPTIONS", "/nowhere", {}))
    assert problem(response) == (404, "not_found")


def test_every_response_forbids_type_guessing(service, digit_png):
    responses = service.ask(
        ("POST", MNIST, {"content": digit_png}),
        ("POST", MNIST, {"content": b"no image"}),
        ("GET", "/v1/models", {}),
        ("GET", "/v2", {}),
        ("GET", "/", {}),
        ("GET", "/nowhere", {}),
    )
    for response in responses:
        assert response.headers.get_list("x-content-type-options") == ["nosniff"]


def test_no_origin_is_allowed_by_default(service, digit_png):
    response = service.post(MNIST, content=digit_png, headers={"origin": ORIGIN})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("origins", ["*", f"https://other.example, {ORIGIN}"])
def test_a_configured_origin_is_allowed_on_every_route(start, digit_png, origins):
    service = start(cors_origins=origins)
    for method, path, status in (("POST", MNIST, 200), ("GET", "/v1/models", 200), ("GET", "/nowhere", 404)):
        (response,) = service.ask((method, path, {"content": digit_png, "headers": {"origin": ORIGIN}}))
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] in {"*", ORIGIN}
    preflight = {"origin": ORIGIN, "access-control-request-method": "POST"}
    (response,) = service.ask(("OPTIONS", MNIST, {"headers": preflight}))
    assert response.status_code == 200
    assert "POST" in response.headers["access-control-allow-methods"]


def test_another_origin_is_not_allowed(start, digit_png):
    service = start(cors_origins="https://other.example")
    response = service.post(MNIST, content=digit_png, headers={"origin": ORIGIN})
    assert "access-control-allow-origin" not in response.headers
