"""The files that the service uses of BentoML; the test fails when BentoML moves them."""

from service.http.bentoml_adapter import SWAGGER_UI


def test_bentoml_has_the_files_of_swagger_ui():
    assert {"swagger-ui.css", "swagger-ui-bundle.js"} <= {path.name for path in SWAGGER_UI.iterdir()}
