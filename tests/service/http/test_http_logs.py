"""Log lines of requests: errors and the access log."""

import logging

from support.service import MNIST, ZOO, problem

from service.inference.repository import ModelRepository


def test_an_internal_error_is_500_and_logged_with_request_id(service, digit_png, caplog):
    def fail(_images, _classify):
        raise RuntimeError("the runtime broke")

    service.gate("mnist", fail)
    response = service.post(MNIST, content=digit_png, headers={"x-request-id": "find-me"})
    assert problem(response) == (500, "internal_error")
    assert "find-me" in response.json()["detail"]
    assert "request find-me failed" in caplog.text
    assert caplog.text.count("RuntimeError: the runtime broke") == 1
    assert "the runtime broke" not in response.text
    assert service.post(ZOO, content=digit_png).status_code == 200


def test_a_path_cannot_forge_a_log_line(start, digit_png, caplog):
    service = start(access_log=True)
    with caplog.at_level(logging.INFO, logger="classifier.access"):
        service.post("/v1/models/x%0aforged/classify", content=digit_png)
        service.get("/v1/models")
    first, second = [record.getMessage() for record in caplog.records if record.name == "classifier.access"]
    assert first.startswith("POST /v1/models/x%0aforged/classify 400 ")
    assert second.startswith("GET /v1/models 200 ")


def test_an_internal_error_of_another_route_has_request_id(service, caplog):
    service.load(lambda: ["broken"])
    response = service.get("/v1/models", headers={"x-request-id": "find-me"})
    assert problem(response) == (500, "internal_error")
    assert "find-me" in response.json()["detail"]
    assert "request find-me failed" in caplog.text
    service.load(lambda: ModelRepository({}))
