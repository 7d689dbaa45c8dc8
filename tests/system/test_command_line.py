"""Command line ``python -m service`` as a process, and against a server."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys

import pytest
from PIL import Image, ImageOps
from support.paths import IMAGES, ROOT
from support.served import environment
from support.tables import read_rows

from service.__main__ import main

SEVEN, THREE, SHIP = IMAGES / "mnist-7.png", IMAGES / "mnist-3.png", IMAGES / "cifar10-ship.png"


def run(*arguments, **settings):
    return subprocess.run(
        [sys.executable, "-m", "service", *map(str, arguments)],
        cwd=ROOT,
        env=environment(**{"device": "cpu"} | settings),
        capture_output=True,
        text=True,
        check=False,
    )


def run_on_a_terminal(*arguments):
    """Run a command on a terminal and return its exit code and what it printed."""
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "service", *map(str, arguments)]
    environ = environment(device="cpu") | {"COLUMNS": "120"}
    done = subprocess.run(command, cwd=ROOT, env=environ, stdout=writer, check=False)
    os.close(writer)
    printed = b""
    while chunk := read_terminal(reader):
        printed += chunk
    os.close(reader)
    return done.returncode, printed.decode()


def read_terminal(reader):
    try:
        return os.read(reader, 65536)
    except OSError:  # the writer is closed
        return b""


def test_classify_prints_one_json_line_per_image_to_a_pipe():
    done = run("classify", SEVEN, THREE)
    predictions = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [(prediction["image"], prediction["label"]) for prediction in predictions] == [
        (str(SEVEN), "7"),
        (str(THREE), "3"),
    ]
    assert {"model", "version", "confidence", "probabilities", "familiarity", "familiar"} <= predictions[0].keys()


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_classify_reads_an_image_from_a_pipe(name):
    command = [sys.executable, "-m", "service", "classify", name]
    picture = SEVEN.read_bytes()
    done = subprocess.run(
        command, cwd=ROOT, env=environment(device="cpu"), input=picture, capture_output=True, check=True
    )
    assert json.loads(done.stdout)["label"] == "7"


def test_closed_output_pipe_is_not_an_error():
    command = f"{sys.executable} -m service classify {SEVEN} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment(device="cpu"), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_interrupt_ends_the_command_with_one_line(tmp_path):
    os.mkfifo(tmp_path / "image.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "classify", str(tmp_path / "image.png")],
        cwd=ROOT,
        env=environment(device="cpu"),
        stderr=subprocess.PIPE,
        text=True,
    )
    with (tmp_path / "image.png").open("wb"):  # waits until the command opens the pipe
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "interrupted\n")


def test_classify_prints_a_table_to_a_terminal():
    code, printed = run_on_a_terminal("classify", SEVEN, ROOT / "README.md")
    assert code == 1  # README.md is not an image
    assert "mnist-7.png" in printed
    assert "7: > 99.9 %" in printed
    assert "unknown image format" in printed


def test_json_option_prints_json_lines_to_a_terminal():
    code, printed = run_on_a_terminal("classify", SEVEN, "--json")
    assert (code, json.loads(printed)["label"]) == (0, "7")


def test_error_names_the_invalid_setting():
    done = run("classify", SEVEN, device="toaster")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: CLASSIFIER_DEVICE=toaster")


def test_server_and_local_model_predict_the_same(url, capsys):
    assert main(["classify", str(SHIP), str(SEVEN), "--model", "cifar10"]) == 0
    assert main(["classify", str(SHIP), str(SEVEN), "--model", "cifar10", "--url", url.removeprefix("http://")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for here, there in zip(lines[:2], lines[2:], strict=True):
        assert here["label"] == there["label"]
        assert here["confidence"] == pytest.approx(there["confidence"], abs=0.02)  # the server may use int8


def test_server_and_local_model_look_twice(tmp_path, url, capsys):
    path = tmp_path / "framed.png"
    ImageOps.expand(Image.open(SEVEN), border=2, fill=255).save(path)
    assert main(["classify", str(path), "--model", "mnist"]) == 0
    assert main(["classify", str(path), "--model", "mnist", "--url", url]) == 0
    here, there = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert here["label"] == there["label"] == "7"
    assert here["familiar"]
    assert there["familiar"]


def test_model_unknown_to_the_server_is_an_error(url, capsys):
    assert main(["classify", str(SEVEN), "--url", url, "--model", "unknown"]) == 2
    assert "no model 'unknown', expected one of" in capsys.readouterr().err


def test_score_writes_the_predictions_of_a_server(tmp_path, url):
    (tmp_path / "images").mkdir()
    shutil.copy(SEVEN, tmp_path / "images")
    (tmp_path / "images" / "broken.png").write_bytes(SEVEN.read_bytes()[:200])
    assert main(["score", str(tmp_path / "images"), "--out", str(tmp_path / "table.csv"), "--url", url]) == 1
    rows = {row["path"]: row for row in read_rows(tmp_path / "table.csv")}
    assert {path: row["label"] for path, row in rows.items()} == {"mnist-7.png": "7", "broken.png": ""}
    assert "cannot be decoded" in rows["broken.png"]["error"]
