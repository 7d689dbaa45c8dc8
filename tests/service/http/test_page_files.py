"""The files of the page and their security headers."""

import re

import pytest
from support.service import problem

from service.http.page import STATIC, page_routes
from service.inference.classify import INLINE_PIXELS

FILES = sorted(f"/static/{path.relative_to(STATIC)}" for path in STATIC.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", ["/", "/docs", "/swagger/swagger-ui.css", "/swagger/swagger-ui-bundle.js", *FILES])
def test_every_file_has_headers_that_forbid_other_hosts(service, path):
    response = service.get(path)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?:|\*|unsafe", policy)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-request-id"]


def test_docs_is_missing_with_a_warning_without_swagger_ui(tmp_path, caplog):
    paths = {route.path for route in page_routes(tmp_path / "moved")}
    assert paths == {"/", "/static"}
    assert "no page at /docs" in caplog.text


def test_the_page_refers_to_no_other_host():
    for path in STATIC.glob("*.*"):
        hosts = set(re.findall(r"https?://[^\s\"')]+", path.read_text()))
        assert hosts <= {"http://www.w3.org/2000/svg"}, path


def test_an_unchanged_file_is_304(service):
    for path in ("/", "/static/page.js"):
        tag = service.get(path).headers["etag"]
        again = service.get(path, headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/static",
        "/static/",
        "/static/nothing.js",
        "/static/../page.py",
        "/static/%2e%2e/page.py",
        "/static/" + "a" * 5000,
    ],
)
def test_other_paths_are_404(service, path):
    assert problem(service.get(path)) == (404, "not_found")


@pytest.mark.parametrize(("path", "allow"), [("/", "GET, HEAD, OPTIONS"), ("/static/page.js", "GET, HEAD")])
def test_post_to_the_page_is_405(service, path, allow):
    response = service.post(path, content=b"x")
    assert problem(response) == (405, "method_not_allowed")
    assert response.headers["allow"] == allow


def test_a_drawing_is_small_enough_to_decode_inline():
    (side,) = re.findall(r"const SENT = (\d+)", (STATIC / "drawing.js").read_text())
    assert 0.9 * INLINE_PIXELS < int(side) ** 2 <= INLINE_PIXELS
