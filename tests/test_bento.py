"""The built Bento, served from another folder by an environment that holds what requirements.txt pins, and no more."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from served import ROOT, environment, serve

IMAGES = ROOT / "tests" / "images"


def run(*command, **arguments):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bento_environment(tmp_path_factory):
    return environment(device="cpu", workers=1) | {"BENTOML_HOME": str(tmp_path_factory.mktemp("bentoml"))}


@pytest.fixture(scope="module")
def bento(bento_environment):
    run(sys.executable, "-m", "bentoml", "build", cwd=ROOT, env=bento_environment)
    (bento,) = Path(bento_environment["BENTOML_HOME"]).glob("bentos/classifier/*/bento.yaml")
    return bento.parent


@pytest.fixture(scope="module")
def python(bento, tmp_path_factory):
    """An interpreter with the Bento's requirements alone."""
    folder = tmp_path_factory.mktemp("venv")
    environ = os.environ | {"VIRTUAL_ENV": str(folder), "UV_COMPILE_BYTECODE": "0"}
    run("uv", "venv", "--quiet", "--allow-existing", "--python", "3.11", str(folder))
    pins = bento / "env" / "python" / "requirements.txt"
    run("uv", "pip", "install", "--quiet", "--require-hashes", "-r", str(pins), env=environ)
    return str(folder / "bin" / "python")


def test_the_bento_holds_service_and_models_and_nothing_else(bento):
    assert {path.name for path in (bento / "src").iterdir()} == {"service", "models", "bentofile.yaml"}
    assert sorted(path.parts[-3] for path in bento.glob("src/models/*/*/model.onnx")) == ["cifar10", "mnist"]
    assert not list(bento.rglob("__pycache__"))


def test_its_requirements_carry_hashes_and_no_index_address(bento):
    pins = (bento / "env" / "python" / "requirements.txt").read_text()
    assert "--hash=sha256:" in pins
    assert "http" not in "".join(line for line in pins.splitlines() if "://" in line)


def test_it_serves_from_another_folder_without_torch(python, bento_environment, tmp_path):
    missing = "import importlib.util as u; print([m for m in ('torch', 'onnx', 'training') if u.find_spec(m)])"
    assert run(python, "-c", missing, cwd=tmp_path).strip() == "[]"
    command = (python, "-m", "bentoml", "serve", "classifier:latest")
    with serve(*command, cwd=tmp_path, env=bento_environment) as served, httpx.Client(base_url=served.url) as client:
        answer = client.post("/v1/models/mnist/classify", content=(IMAGES / "mnist-7.png").read_bytes())
        assert (answer.status_code, answer.json()["label"]) == (200, "7")
        answer = client.post("/v1/models/cifar10/classify", files={"image": (IMAGES / "cifar10-ship.png").read_bytes()})
        assert (answer.status_code, answer.json()["label"]) == (200, "ship")
