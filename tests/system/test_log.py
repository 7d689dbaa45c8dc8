"""The log of the served process, and its errors before it starts."""

import json
import socket
import subprocess
import sys
from contextlib import closing

from support.paths import ROOT
from support.served import environment, serve


def test_every_log_line_is_json_off_a_terminal(models_dir):
    with serve(models_dir=models_dir, precision="int8", workers=2) as served:
        pass
    records = [json.loads(line) for line in served.lines]
    messages = [(record["logger"], record["level"], record["message"]) for record in records]
    (started,) = [message for message in messages if "Starting production HTTP BentoServer" in message[2]]
    assert started[:2] == ("bentoml.serve", "info")  # BentoML, in the supervisor
    assert ("bentoml.serve", "info", "Completed async startup hook: start") in messages  # BentoML, in a worker
    warnings = [message for message in messages if message[:2] == ("classifier", "warning")]
    assert "it has no int8 file" in warnings[0][2]  # the process that checks the models


def test_log_is_text_on_request(models_dir):
    with serve(models_dir=models_dir, log_format="text") as served:
        pass
    assert all("[INFO]" in line for line in served.lines)
    assert "[INFO] ready: serving mnist/1" in served.log()


def test_port_in_use_is_a_one_line_error(models_dir):
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        host, port = other.getsockname()
        done = subprocess.run(
            [sys.executable, "-m", "bentoml", "serve", "--host", host, "--port", str(port)],
            cwd=ROOT,
            env=environment(device="cpu", models_dir=models_dir),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    (line,) = (done.stdout + done.stderr).strip().splitlines()
    assert f"cannot listen on {host}:{port}: Address already in use" in line
    assert "choose another port with --port" in line
