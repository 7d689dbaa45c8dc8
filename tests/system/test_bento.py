"""Tests of the built Bento in an environment with only the pinned packages."""

import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest
from support.paths import IMAGES, ROOT
from support.served import environment, serve


def run(*command, **arguments):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pins(requirements):
    """Return the name==version of every line that pins a package."""
    return {line.split()[0] for line in requirements.read_text().splitlines() if "==" in line.split("#")[0]}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter with only the packages that requirements.txt pins."""
    folder = tmp_path_factory.mktemp("venv")
    run("uv", "venv", "--quiet", "--allow-existing", "--python", "3.11", str(folder))
    install = ("uv", "pip", "install", "--quiet", "--require-hashes", "-r", "requirements.txt")
    run(*install, cwd=ROOT, env=os.environ | {"VIRTUAL_ENV": str(folder), "UV_COMPILE_BYTECODE": "0"})
    return str(folder / "bin" / "python")


@pytest.fixture(scope="module")
def bento_environment(tmp_path_factory):
    return environment(device="cpu", workers=1) | {"BENTOML_HOME": str(tmp_path_factory.mktemp("bentoml"))}


@pytest.fixture(scope="module")
def bento(bento_environment):
    """The Bento that README's command builds."""
    command = re.search(r"^```sh bento\n(.*)\n```$", (ROOT / "README.md").read_text(), re.MULTILINE)
    run(*command[1].split(), cwd=ROOT, env=bento_environment)
    (bento,) = Path(bento_environment["BENTOML_HOME"]).glob("bentos/classifier/*/bento.yaml")
    return bento.parent


def test_bento_has_only_service_and_models(bento):
    assert {path.name for path in (bento / "src").iterdir()} == {"service", "models", "bentofile.yaml"}
    models = sorted(path.parts[-3] for path in bento.glob("src/models/*/*/model.onnx"))
    assert models == ["cifar10", "mnist", "mnist-cnn", "mnist-resnet"]
    assert not list(bento.rglob("__pycache__"))


def test_bento_requirements_are_pinned_by_hash_without_an_index(bento):
    requirements = bento / "env" / "python" / "requirements.txt"
    assert pins(requirements) == pins(ROOT / "requirements.txt")
    assert requirements.read_text().count("--hash=sha256:") >= len(pins(requirements))
    assert "://" not in requirements.read_text()


def test_bento_serves_from_another_folder_without_torch(bento, python, bento_environment, tmp_path):
    missing = "import importlib.util as u; print([m for m in ('torch', 'onnx', 'training') if u.find_spec(m)])"
    assert run(python, "-c", missing, cwd=tmp_path).strip() == "[]"
    command = (python, "-m", "bentoml", "serve", f"classifier:{bento.name}")
    with serve(*command, cwd=tmp_path, env=bento_environment) as served, httpx.Client(base_url=served.url) as client:
        assert "Image classifier" in client.get("/").raise_for_status().text
        assert client.get("/static/examples/mnist-7.png").raise_for_status().headers["content-type"] == "image/png"
        response = client.post("/v1/models/mnist/classify", content=(IMAGES / "mnist-7.png").read_bytes())
        assert (response.status_code, response.json()["label"]) == (200, "7")
        response = client.post(
            "/v1/models/cifar10/classify", files={"image": (IMAGES / "cifar10-ship.png").read_bytes()}
        )
        assert (response.status_code, response.json()["label"]) == (200, "ship")
