"""The OpenAPI document, compared with the service."""

import re

import pytest
from openapi_spec_validator import validate

from service import problems
from service.http.openapi import openapi
from service.problems import Problem
from service.settings import Settings


@pytest.fixture(scope="module")
def document():
    return openapi(Settings())


def test_the_document_is_valid_openapi(document):
    validate(document)


def test_the_service_serves_the_document(service, document):
    served = service.get("/openapi.json").json()
    assert served["paths"].keys() == document["paths"].keys()


def test_every_documented_route_exists(service, document):
    for path, operations in document["paths"].items():
        if path in {"/livez", "/readyz"}:  # BentoML's routes, tested in test_serve
            continue
        url = path.format(model="mnist", version="1")
        for method in set(operations) & {"get", "post"}:
            (response,) = service.ask((method.upper(), url, {}))
            assert response.status_code in ({200} if method == "get" else {400}), path


def test_every_problem_code_is_documented(document):
    text = str(document["paths"])
    codes = {
        member.code
        for member in vars(problems).values()
        if isinstance(member, type) and issubclass(member, Problem) and hasattr(member, "code")
    }
    assert len(codes) == 17
    documented = set(re.findall(r"`([a-z_]+)`: ", text))
    assert documented == codes - {
        "not_found",  # the document has no unknown paths
        "method_not_allowed",
        "unsupported_encoding",  # only under /v2, whose errors have no code
    }


def test_a_response_has_the_documented_fields(service, digit_png, document):
    schema = document["paths"]["/v1/models/{model}/classify"]["post"]["responses"]["200"]["content"]
    response = service.post("/v1/models/mnist/classify", content=digit_png).json()
    assert list(response) == schema["application/json"]["schema"]["required"]
