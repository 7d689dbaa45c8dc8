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


def test_it_is_what_the_service_serves(service, document):
    served = service.get("/openapi.json").json()
    assert served["paths"].keys() == document["paths"].keys()


def test_every_route_that_it_names_is_there(service, document):
    for path, operations in document["paths"].items():
        if path in {"/livez", "/readyz"}:  # BentoML's, asked in test_serve
            continue
        real = path.format(model="mnist", version="1")
        for method in set(operations) & {"get", "post"}:
            (response,) = service.ask((method.upper(), real, {}))
            assert response.status_code in ({200} if method == "get" else {400}), path


def test_every_code_that_a_client_may_see_is_named(document):
    text = str(document["paths"])
    codes = {
        member.code
        for member in vars(problems).values()
        if isinstance(member, type) and issubclass(member, Problem) and hasattr(member, "code")
    }
    assert len(codes) == 16
    named = set(re.findall(r"`([a-z_]+)`: ", text))
    assert named == codes - {"not_found", "method_not_allowed"}  # of paths and verbs that are not in the document


def test_the_answers_that_it_describes_are_those_that_come(service, digit_png, document):
    schema = document["paths"]["/v1/models/{model}/classify"]["post"]["responses"]["200"]["content"]
    answer = service.post("/v1/models/mnist/classify", content=digit_png).json()
    assert list(answer) == schema["application/json"]["schema"]["required"]
