"""Command line of `retrain`: errors, usage, help and progress."""

import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import torch
from support.paths import DATA, ROOT
from support.retraining import output_arguments
from torchvision import datasets

from training.__main__ import main
from training.recipes.zoo import MNIST, ZOO


def test_model_below_its_minimum_accuracy_is_not_published(tmp_path, capfd):
    assert main(["retrain", "mnist", "--epochs", "1", "--data-dir", str(DATA), *output_arguments(tmp_path)]) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    minimum = f"{MNIST.min_accuracy['published']:.2%}"
    assert re.fullmatch(rf"mnist: accuracy .*% on 60 test images is below {minimum}; nothing published; .*", error)
    assert not (tmp_path / "models" / "mnist").exists()


def test_unreadable_data_is_reported_in_one_line(tmp_path, capfd):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for url, _ in datasets.MNIST.resources:
        (raw / url.removesuffix(".gz")).write_bytes(b"corrupt")
    assert main(["retrain", "mnist", "--data-dir", str(tmp_path), *output_arguments(tmp_path)]) == 1
    error = capfd.readouterr().err
    assert "mnist: cannot read" in error
    assert "Traceback" not in error


def test_missing_checkpoint_is_reported_in_one_line(tmp_path, capfd):
    assert main(["retrain", "mnist", "--data-dir", str(DATA), "--resume", *output_arguments(tmp_path)]) == 1
    assert "mnist: nothing to resume" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--checkpoint-dir"])
def test_file_in_place_of_a_folder_is_rejected_before_training(option, tmp_path, capfd):
    (tmp_path / "file").write_bytes(b"mine")
    command = [
        "retrain",
        "mnist",
        "--data-dir",
        str(tmp_path / "no data"),
        *output_arguments(tmp_path),
        option,
        str(tmp_path / "file"),
    ]
    assert main(command) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert re.fullmatch(rf"mnist: cannot write to .*/file.*: .*; choose a writable folder with {option}", error)
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder where even root cannot write")
@pytest.mark.parametrize("option", ["--out", "--checkpoint-dir"])
def test_folder_that_is_not_writable_is_rejected_in_one_line(option, tmp_path, capfd):
    command = [
        "retrain",
        "mnist",
        "--data-dir",
        str(tmp_path / "no data"),
        *output_arguments(tmp_path),
        option,
        "/proc/self",
    ]
    assert main(command) == 1
    assert "mnist: cannot write to /proc/self" in capfd.readouterr().err.splitlines()[-1]
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_device_is_rejected(tmp_path, capfd):
    assert main(["retrain", "mnist", "--device", "cuda", *output_arguments(tmp_path)]) == 1
    assert "--device cuda: torch" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "command"),
        (["retrain"], "model"),
        (["retrain", "imagenet"], "'imagenet'"),
        (["retrain", "mnist", "--recipe", "cake"], "mnist has published, course; got 'cake'"),
        (["retrain", "mnist", "--epochs", "0"], "expected a whole number from 1 to 1000000, got '0'"),
        (["retrain", "mnist", "--seed", "-1"], "expected a whole number from 0 to 4294967295, got '-1'"),
        (["retrain", "mnist", "--seed", "9" * 23], f"from 0 to 4294967295, got '{'9' * 23}'"),
        (["retrain", "mnist", "--seed", str(2**32)], "from 0 to 4294967295, got '4294967296'"),
        (["retrain", "mnist", "--epochs", "9" * 400], "from 1 to 1000000, got"),
        (["retrain", "mnist", "--device", "tpu"], "'tpu'"),
        (["retrain", "mnist", "--recipe", "course"], "--recipe course: --out is required"),
        (["seeds", "mnist"], "--seeds"),
        (["ablate", "mnist", "--seeds", "1"], "--seeds"),
        (["retrain", "mnist", "--min-accuracy", "98"], "expected a number from 0 to 1, got '98'"),
    ],
)
def test_wrong_usage_exits_with_code_2_and_names_the_limit(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_help_lists_options_models_and_exit_codes(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["retrain", "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    options = ["--seed", "--epochs", "--recipe", "--device", "--out", "--resume", "--data-dir", "--min-accuracy"]
    for word in [*options, *ZOO, "exit codes", "Ctrl-C"]:
        assert word in text


def test_progress_bar_shows_loss_accuracy_speed_and_time_left(tmp_path):
    watcher, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (40, 200))
    command = [sys.executable, "-W", "error", "-m", "training", "retrain", "mnist"]
    command += ["--recipe", "course", "--epochs", "2"]
    command += ["--data-dir", str(DATA), "--min-accuracy", "0", *output_arguments(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal) as process:
        os.close(terminal)
        output = b""
        try:
            while chunk := os.read(watcher, 4096):
                output += chunk
        except OSError:  # on Linux, raised when the other side is closed
            pass
        assert process.stdout.read().startswith(b"published ")
    os.close(watcher)
    assert process.returncode == 0
    bar = [line for line in output.decode().split("\r") if "images/s" in line and "loss=" in line][-1]
    assert re.search(r"\[\d\d:\d\d<(\d\d:\d\d|\?).* images/s, .*acc=\d.*epoch=\d.*loss=\d", bar.replace("\n", ""))
