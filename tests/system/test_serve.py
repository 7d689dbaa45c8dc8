"""The service as users run it: a real process on a real port."""

import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO

import bentoml
import httpx
import psutil
import pytest
from PIL import Image
from support.paths import ROOT
from support.served import environment, free_port, serve
from support.tiny_models import write_model

from service.runtime.hardware import count_gpus

MNIST = "/v1/models/mnist/classify"


@pytest.fixture(scope="module")
def served(models_dir):
    with serve(models_dir=models_dir, access_log=True, log_format="json", drain_ms=5000) as served:
        yield served


@pytest.fixture(scope="module")
def client(served):
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client


def test_the_served_process_is_ready_and_responds(client, digit_png):
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    response = client.post(MNIST, content=digit_png)
    assert (response.status_code, response.json()["version"]) == (200, "2")
    assert client.get("/openapi.json").json()["openapi"].startswith("3.")
    for method, path in [("GET", "/nowhere"), ("GET", "/v1/models/cat"), ("GET", MNIST)]:
        response = client.request(method, path)
        assert response.headers["content-type"] == "application/problem+json", path
        assert response.json()["status"] == response.status_code


def test_one_log_line_names_models_and_devices(served):
    (line,) = [line for line in served.lines if "ready: serving" in line]
    models = ", ".join(f"{model} (float32 on cpu, 64 images per batch)" for model in ("mnist/1", "mnist/2", "zoo/1"))
    assert json.loads(line)["message"] == f"ready: serving {models}"


PATHS_WITH_CONTROL_CHARACTERS = [
    "/classify%0A",
    "/classify%0D",
    "/classify%00",
    "/classify%7F",
    "/classify%09",
    "/classify%0A%0A",
]
OTHER_PATHS = ["/classify/", "//classify", "/%63lassify/", "/classify%20", "/classify;x", "/%2Fclassify", "/CLASSIFY"]


def test_no_path_reaches_bentomls_endpoint(client, digit_png):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(0)
        address = "http://{}:{}/".format(*listener.getsockname())
        for path in PATHS_WITH_CONTROL_CHARACTERS + OTHER_PATHS:
            for arguments in (
                {"json": {"image": address, "model": "mnist"}},
                {"data": {"image": address, "model": "mnist"}},
                {"files": {"image": ("digit.png", digit_png, "image/png")}, "data": {"model": "mnist"}},
            ):
                response = client.post(path, **arguments)
                if path.endswith("/"):
                    assert (response.status_code, response.headers["location"]) == (308, "../classify"), path
                    continue
                assert response.headers["content-type"] == "application/problem+json", path
                assert response.status_code in ({400} if path in PATHS_WITH_CONTROL_CHARACTERS else {404, 405}), path
        with pytest.raises(BlockingIOError):  # nothing has connected
            listener.accept()


def test_only_four_routes_of_bentoml_respond(client):
    for path in ("/livez", "/healthz", "/readyz", "/schema.json"):  # its clients read the last one
        assert client.get(path).status_code == 200, path
    for path in ("/docs.json", "/assets/main.js", "/static_content/index.css", "/classify/status", "/classify/get"):
        assert client.get(path).json()["code"] == "not_found", path
    for path in ("/classify/submit", "/classify/retry", "/is_ready"):
        assert client.post(path).json()["code"] == "not_found", path


def test_a_control_character_in_any_path_is_a_problem(client):
    for path in (
        "/",
        "/v1/models",
        "/v1/models/mnist/classify",
        "/v2/models/mnist/infer",
        "/metrics",
        "/livez",
        "/docs",
    ):
        for method in ("GET", "POST"):
            response = client.request(method, f"{path}%0A")
            assert response.status_code == 400, path
            assert "control character" in response.text


def test_bentomls_client_can_classify(served, digit_png, tmp_path):
    path = tmp_path / "digit.png"
    path.write_bytes(digit_png)
    with bentoml.SyncHTTPClient(served.url) as client, httpx.Client(base_url=served.url) as plain:
        expected = plain.post(MNIST, content=digit_png).json()
        assert client.classify(image=path, model="mnist") == expected
        assert client.classify(image=Image.open(BytesIO(digit_png)), model="mnist") == expected
        with pytest.raises(bentoml.exceptions.BentoMLException, match="expected one of: mnist, zoo"):
            client.classify(image=path, model="cat")


def test_64_concurrent_clients_share_batches_without_errors(served, digit_png):
    def batches(client):
        return {
            line.split("{")[0]: float(line.split()[-1])
            for line in client.get("/metrics").text.splitlines()
            if line.startswith("classifier_batch_size") and 'version="2"' in line and "bucket" not in line
        }

    def post_many(_):
        with httpx.Client(base_url=served.url, timeout=60) as client:
            return [client.post(MNIST, content=digit_png).status_code for _ in range(20)]

    with httpx.Client(base_url=served.url) as client, ThreadPoolExecutor(64) as pool:
        before = batches(client)
        statuses = [status for client_statuses in pool.map(post_many, range(64)) for status in client_statuses]
        after = batches(client)
    assert statuses == [200] * 1280
    assert after["classifier_batch_size_sum"] - before["classifier_batch_size_sum"] == 1280
    assert after["classifier_batch_size_count"] - before["classifier_batch_size_count"] < 1280


def test_an_unsent_refused_body_keeps_the_connection(client, digit_png):
    response = client.post(MNIST, content=b"\x89PNG\r\n\x1a\n" + bytes(11 * 1024 * 1024))
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert client.post(MNIST, content=digit_png).status_code == 200


def test_the_access_log_has_one_json_line_per_request(served, client, digit_png):
    client.post(MNIST, content=digit_png, headers={"x-request-id": "find-me"})
    served.wait_for("find-me")
    (line,) = [json.loads(line) for line in served.lines if "find-me" in line]
    assert line["message"].startswith(f"POST {MNIST} 200 ")


def test_a_disconnect_is_logged_as_499_without_traceback(served, digit_png):
    address = httpx.URL(served.url)
    header_section = f"POST {MNIST} HTTP/1.1\r\nhost: x\r\nx-request-id: left\r\ncontent-length: 1000\r\n\r\n"
    with closing(socket.create_connection((address.host, address.port))) as connection:
        connection.sendall(header_section.encode() + digit_png)
    served.wait_for('"left"')
    (line,) = [json.loads(line) for line in served.lines if '"left"' in line]
    assert " 499 " in line["message"]
    assert "Traceback" not in served.log()


def test_invalid_http_is_400_and_others_are_unaffected(served, client, digit_png):
    address = httpx.URL(served.url)
    with closing(socket.create_connection((address.host, address.port))) as connection:
        connection.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert client.post(MNIST, content=digit_png).status_code == 200


def test_too_large_headers_are_431_and_others_are_unaffected(served, client, digit_png):
    address = httpx.URL(served.url)
    with closing(socket.create_connection((address.host, address.port))) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nx: " + b"y" * 100_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431")
    assert client.post(MNIST, content=digit_png).status_code == 200


def test_sigterm_finishes_requests_and_refuses_new_ones(models_dir, digit_png):
    with serve(models_dir=models_dir) as served, httpx.Client(base_url=served.url, timeout=60) as client:
        address = httpx.URL(served.url)
        with closing(socket.create_connection((address.host, address.port))) as slow:
            header_section = (
                f"POST {MNIST} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {len(digit_png)}\r\n\r\n"
            )
            slow.sendall(header_section.encode())
            assert slow.recv(1000).startswith(b"HTTP/1.1 100")  # the request is admitted
            client.get("/readyz")  # opens a keep-alive connection
            served.process.send_signal(signal.SIGTERM)
            served.wait_for("draining")
            late = client.post(MNIST, content=digit_png)
            assert (late.status_code, late.json()["code"]) == (503, "draining")
            assert late.headers["retry-after"]
            assert client.get("/readyz").status_code == 503
            assert client.get("/livez").status_code == 200
            slow.sendall(digit_png)
            assert slow.recv(1000).startswith(b"HTTP/1.1 200")
        assert served.process.wait(60) == 0


def test_several_workers_share_the_port_and_their_metrics(models_dir, digit_png):
    with serve(models_dir=models_dir, workers=2) as served, httpx.Client(base_url=served.url) as client:
        for _ in range(40):
            with httpx.Client(base_url=served.url) as new_client:
                assert new_client.post(MNIST, content=digit_png).status_code == 200
        name = 'classifier_requests_total{model="mnist",status="200",version="2"} '

        def read_counts():  # either worker may respond
            texts = [client.get("/metrics").text for _ in range(10)]
            lines = [line for text in texts for line in text.splitlines()]
            return {line.removeprefix(name) for line in lines if line.startswith(name)}

        deadline = time.monotonic() + 60
        while (counts := read_counts()) != {"40.0"}:  # a worker publishes its metrics a few times per second
            assert time.monotonic() < deadline, counts
        assert len(psutil.Process(served.process.pid).children(recursive=True)) == 2


def run_failing_serve(**settings):
    """Run the serve command with invalid settings, and return (exit code, output)."""
    command = [sys.executable, "-m", "bentoml", "serve", "--port", str(free_port())]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_error_for_an_invalid_setting_names_it():
    code, printed = run_failing_serve(max_queue="lots")
    assert code != 0
    assert "CLASSIFIER_MAX_QUEUE=lots" in printed
    assert "valid integer" in printed
    assert "Traceback" not in printed


def test_a_missing_gpu_ends_the_command(models_dir):
    if count_gpus():
        pytest.skip("needs a machine without a GPU")
    code, printed = run_failing_serve(device="cuda", models_dir=models_dir)
    assert code != 0
    assert "expected a GPU, but none is visible" in printed
    assert "onnxruntime" not in printed  # no other warnings


def test_a_model_that_fails_its_golden_check_ends_the_command(tmp_path):
    good, other = write_model(tmp_path, "one"), write_model(tmp_path, "two", seed=1)
    (good / "golden.npz").write_bytes((other / "golden.npz").read_bytes())
    code, printed = run_failing_serve(models_dir=tmp_path, device="cpu")
    assert code != 0
    assert "golden check failed" in printed
    assert "Traceback" not in printed


def test_an_empty_models_folder_ends_the_command(tmp_path):
    code, printed = run_failing_serve(models_dir=tmp_path, device="cpu")
    assert code != 0
    assert "CLASSIFIER_MODELS_DIR" in printed
