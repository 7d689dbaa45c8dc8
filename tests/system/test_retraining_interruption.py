"""Interrupted `retrain` runs: what is published, kept and resumed."""

import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from support.paths import DATA, ROOT
from support.retraining import at_validation, make_retraining_options, output_arguments, read_card, read_history

from training.__main__ import main
from training.pipeline.retraining import retrain
from training.recipes.zoo import MNIST


def test_stopped_run_publishes_and_resumes_to_the_same_result(tmp_path):
    options = make_retraining_options(tmp_path)

    def after_two_epochs():
        path = options.checkpoint_path
        return path.exists() and len(torch.load(path, weights_only=True)["history"]) >= 2

    assert len(read_history(retrain(options, stopped=after_two_epochs).folder)) == 2
    resumed = retrain(make_retraining_options(tmp_path, resume=True), stopped=lambda: False)
    whole = retrain(make_retraining_options(tmp_path, out="whole"), stopped=lambda: False)
    assert resumed.folder.name == "2"
    for one, other in zip(read_history(resumed.folder), read_history(whole.folder), strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    assert resumed.card.test.nll == pytest.approx(whole.card.test.nll, rel=1e-3)
    assert not options.checkpoint_path.exists()


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_in_the_last_validation_publishes_a_complete_run(tmp_path, capfd):
    models = {"mnist": at_validation(MNIST, press_ctrl_c)}
    command = [
        "retrain",
        "mnist",
        "--epochs",
        "1",
        "--min-accuracy",
        "0",
        "--data-dir",
        str(DATA),
        *output_arguments(tmp_path),
    ]
    assert main(command, models=models) == 0
    output = capfd.readouterr()
    assert "stopping: publishing the best epoch so far" in output.err
    assert re.match(r"published .*/1: accuracy", output.out)
    assert list((tmp_path / "checkpoints").iterdir()) == []  # nothing to resume


@pytest.mark.parametrize("how", [(1,), (2,), (2, "--resume")], ids=str)
def test_ctrl_c_keeps_the_checkpoint_of_an_earlier_run(how, tmp_path, capfd):
    (presses, *options), path = how, make_retraining_options(tmp_path).checkpoint_path
    retrain(make_retraining_options(tmp_path), stopped=path.exists)
    before = path.read_bytes()

    def press_and_load(data_dir):
        for _ in range(presses):
            press_ctrl_c()
        return MNIST.load(data_dir)

    models = {"mnist": replace(MNIST, load=press_and_load)}
    command = [
        "retrain",
        "mnist",
        "--recipe",
        "course",
        "--data-dir",
        str(DATA),
        "--epochs",
        "4",
        *output_arguments(tmp_path),
        *options,
    ]
    assert main(command, models=models) == 130
    assert capfd.readouterr().err.endswith(f"interrupted: nothing published; checkpoint kept at {path}\n")
    assert path.read_bytes() == before


def test_ctrl_c_twice_keeps_the_epochs_of_a_resumed_run(tmp_path):
    path = make_retraining_options(tmp_path).checkpoint_path
    retrain(make_retraining_options(tmp_path), stopped=path.exists)

    def press_twice_after_two_epochs():
        if len(torch.load(path, weights_only=True)["history"]) >= 2:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        retrain(make_retraining_options(tmp_path, resume=True), stopped=press_twice_after_two_epochs)
    assert len(torch.load(path, weights_only=True)["history"]) == 2


@pytest.fixture(scope="module")
def many_digits(tmp_path_factory):
    """Write the sample 200 times, so that an epoch takes a second or more."""
    data = tmp_path_factory.mktemp("many")
    raw = data / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (DATA / "MNIST" / "raw").iterdir():
        content, header = path.read_bytes(), 16 if "images" in path.name else 8
        times = 200 if path.name.startswith("train") else 1
        count = int.from_bytes(content[4:8], "big") * times
        (raw / path.name).write_bytes(
            content[:4] + count.to_bytes(4, "big") + content[8:header] + content[header:] * times
        )
    return data


def start_long_run(data, tmp_path):
    command = [sys.executable, "-m", "training", "retrain", "mnist", "--recipe", "course", "--epochs", "1000"]
    command += ["--data-dir", str(data), *output_arguments(tmp_path)]
    return subprocess.Popen(
        [*command, "--min-accuracy", "0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process, words):
    """Read stderr of the run up to the line that contains ``words``."""
    return next(line for line in process.stderr if words in line)


def test_ctrl_c_once_publishes_the_best_epoch_so_far(many_digits, tmp_path):
    with start_long_run(many_digits, tmp_path) as process:
        wait_for(process, "epoch 1/")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    assert process.returncode == 0
    assert "stopping: publishing the best epoch so far" in errors
    assert re.search(r"published .* \(best epoch so far; stopped by Ctrl-C\): accuracy", output)
    folder = tmp_path / "models" / "mnist" / "1"
    assert read_card(folder).recipe["epochs"] == 1000
    assert len(read_history(folder)) < 1000
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1  # for --resume


def test_ctrl_c_twice_leaves_no_files(many_digits, tmp_path):
    with start_long_run(many_digits, tmp_path) as process:
        wait_for(process, "epoch 1/")
        process.send_signal(signal.SIGINT)
        wait_for(process, "Ctrl-C again")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    assert process.returncode == 130
    assert (output, errors) == ("", "interrupted: nothing published; no checkpoint kept\n")
    assert list(tmp_path.rglob("*")) == []


def test_ctrl_c_in_the_first_epoch_publishes_nothing(many_digits, tmp_path):
    with start_long_run(many_digits, tmp_path) as process:
        wait_for(process, "training mnist with recipe course on cpu")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert list(tmp_path.rglob("*")) == []


def test_sigterm_leaves_no_files(many_digits, tmp_path):
    with start_long_run(many_digits, tmp_path) as process:
        wait_for(process, "training mnist with recipe course on cpu")
        process.terminate()
        process.communicate()
    assert process.returncode == 143
    assert list(tmp_path.rglob("*")) == []
