"""`retrain` command: published files, messages, and the effect of Ctrl-C."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.paths import DATA, ROOT
from support.retraining import ask, read_card
from torchvision import datasets

from training.__main__ import main
from training.export.calibration import fit_calibration
from training.export.onnx_file import open_session, predict_onnx, run_onnx
from training.pipeline.retraining import retrain, train
from training.provenance import LEDGER
from training.recipes.recipe import DEFORMATION
from training.recipes.zoo import MNIST, ZOO


@pytest.fixture
def places(tmp_path):
    """Return options that keep a run inside the test's own folder."""
    return ["--out", str(tmp_path / "models"), "--checkpoint-dir", str(tmp_path / "checkpoints")]


def read_history(folder):
    epochs = json.loads((folder / "history.json").read_text())
    return [{name: value for name, value in epoch.items() if name != "images_per_s"} for epoch in epochs]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Run two epochs; return the version folder and the ledger before the run."""
    tmp_path, ledger = tmp_path_factory.mktemp("published"), LEDGER.read_bytes() if LEDGER.exists() else b""
    command = ["retrain", "mnist", "--recipe", "course", "--epochs", "2", "--seed", "3", "--min-accuracy", "0.2"]
    command += ["--data-dir", str(DATA), "--out", str(tmp_path / "models")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.evaluation.gate.MAX_LOSS", 1.0)  # 60 images are too few for this gate
        assert main([*command, "--checkpoint-dir", str(tmp_path / "checkpoints")]) == 0
    assert list((tmp_path / "checkpoints").iterdir()) == []  # a finished run deletes its checkpoint
    return tmp_path / "models" / "mnist" / "1", ledger


def test_version_has_the_model_golden_images_and_report(published):
    folder, _ = published
    plots = ["confusion.png", "curves.png", "mistakes.png", "pictures.png", "reliability.png"]
    int8 = ["golden.int8.npz", "model.int8.onnx"]
    names = sorted(["README.md", "golden.npz", "history.json", "model.onnx", "robustness.json", *plots, *int8])
    assert sorted(entry.name for entry in folder.iterdir()) == names
    assert [entry.name for entry in folder.parent.iterdir()] == ["1"]


def test_card_describes_the_training_run(published):
    card = read_card(published[0])
    assert (card.name, card.version, card.class_names, card.preparation) == ("mnist", "1", MNIST.class_names, "digit")
    assert (card.seed, card.recipe["name"], card.recipe["epochs"]) == (3, "course", 2)
    assert (card.parameters, card.multiply_adds) == (235_146, 234_752)
    assert card.test.num_images == 60
    assert card.libraries["torch"] == torch.__version__
    assert len(card.dataset) == 4
    assert re.fullmatch(r"([0-9a-f]{40}(-dirty)?|unknown)", card.git_commit)


def test_readme_agrees_with_the_card(published):
    text, card = (published[0] / "README.md").read_text(), read_card(published[0])
    assert f"| float32 | test | 60 | {card.test.accuracy:.2%} | {card.test.nll:.4f} | {card.test.ece:.2%} |" in text
    assert f"| int8 | test | 60 | {read_card(published[0], 'model.int8.onnx').test.accuracy:.2%} |" in text
    assert f"temperature {card.temperature:.3f}" in text
    assert "retrain mnist --seed 3 --recipe course --epochs 2 --out FOLDER" in text
    assert "{" not in text


def test_graphs_have_familiarity_and_the_readme_its_accuracy(published):
    for graph in ("model.onnx", "model.int8.onnx"):
        assert [output.name for output in open_session(published[0] / graph).get_outputs()][-1] == "familiarity"
    text = (published[0] / "README.md").read_text()
    for kind in ("letters", "symbols", "scribbles", "shapes", "two digits", "noise", "photographs"):
        assert re.search(rf"\| {kind} \| [\d,]+( \| [\d.]+%){{4}} \|", text)


def test_history_has_every_epoch(published):
    history = json.loads((published[0] / "history.json").read_text())
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    assert {"train_loss", "val_loss", "train_accuracy", "val_accuracy", "lr", "images_per_s"} < set(history[0])


@pytest.mark.parametrize("name", ["confusion", "curves", "mistakes", "reliability"])
def test_every_plot_of_the_card_is_an_image_and_shown(published, name):
    assert f"]({name}.png)" in (published[0] / "README.md").read_text()
    with Image.open(published[0] / f"{name}.png") as plot:
        assert plot.width > 500
        assert len(np.unique(np.asarray(plot.convert("L")))) > 20


def test_int8_file_has_its_own_card_and_golden_images(published):
    card, int8 = read_card(published[0]), read_card(published[0], "model.int8.onnx")
    assert (card.precision, int8.precision) == ("float32", "int8")
    assert replace(int8, test=card.test, precision="float32", weight_bits=None) == card
    assert int8.weight_bits == 7
    with np.load(published[0] / "golden.int8.npz") as golden:
        probabilities = predict_onnx(published[0] / "model.int8.onnx", golden["images"])
        np.testing.assert_allclose(probabilities, golden["probabilities"], atol=1e-4)


def test_run_outside_models_is_not_in_the_ledger(published):
    assert (LEDGER.read_bytes() if LEDGER.exists() else b"") == published[1]


def test_run_into_models_adds_one_line_to_the_ledger(tmp_path, monkeypatch):
    monkeypatch.setattr("training.pipeline.retraining.MODELS_DIR", tmp_path / "models")
    monkeypatch.setattr("training.pipeline.retraining.LEDGER", tmp_path / "docs" / "runs.jsonl")
    published = retrain(ask(tmp_path, epochs=1), stopped=lambda: False)
    retrain(ask(tmp_path, epochs=1), stopped=lambda: False)
    runs = [json.loads(line) for line in (tmp_path / "docs" / "runs.jsonl").read_text().splitlines()]
    assert [run["version"] for run in runs] == ["1", "2"]
    assert runs[0]["test"] == vars(published.card.test)
    assert {"recipe", "seed", "val", "minutes", "hardware", "git_commit"} < set(runs[0])
    assert published.folder.name == "1"


def test_stopped_run_publishes_and_resumes_to_the_same_result(tmp_path):
    options = ask(tmp_path)

    def after_two_epochs():
        path = options.checkpoint_path
        return path.exists() and len(torch.load(path, weights_only=True)["history"]) >= 2

    assert len(read_history(retrain(options, stopped=after_two_epochs).folder)) == 2
    resumed = retrain(ask(tmp_path, resume=True), stopped=lambda: False)
    whole = retrain(ask(tmp_path, out="whole"), stopped=lambda: False)
    assert resumed.folder.name == "2"
    for one, other in zip(read_history(resumed.folder), read_history(whole.folder), strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    assert resumed.card.test.nll == pytest.approx(whole.card.test.nll, rel=1e-3)
    assert not options.checkpoint_path.exists()


def test_strength_does_not_depend_on_earlier_random_draws(tmp_path, monkeypatch):
    logits = []
    for drawn in (0, 1):

        def train_and_draw(*arguments, drawn=drawn, **options):
            result = train(*arguments, **options)
            torch.rand(drawn)
            return result

        monkeypatch.setattr("training.pipeline.retraining.train", train_and_draw)
        options = ask(tmp_path, epochs=1, out=str(drawn), strength_discount=0.25, augmentation=DEFORMATION)
        folder = retrain(options, stopped=lambda: False).folder
        logits += run_onnx(folder / "model.onnx", ["logits"], MNIST.load(DATA).test.images.numpy())
    np.testing.assert_allclose(*logits, atol=1e-4)


def test_ctrl_c_after_the_last_epoch_publishes_a_complete_run(tmp_path, places, monkeypatch, capfd):
    def press_and_fit(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        return fit_calibration(*arguments, **options)

    monkeypatch.setattr("training.pipeline.retraining.fit_calibration", press_and_fit)
    command = ["retrain", "mnist", "--epochs", "1", "--min-accuracy", "0", "--data-dir", str(DATA), *places]
    assert main(command) == 0
    output = capfd.readouterr()
    assert "stopping: publishing the best epoch so far" in output.err
    assert re.match(r"published .*/1: accuracy", output.out)
    assert list((tmp_path / "checkpoints").iterdir()) == []  # nothing to resume


@pytest.mark.parametrize("how", [(1,), (2,), (2, "--resume")], ids=str)
def test_ctrl_c_keeps_the_checkpoint_of_an_earlier_run(how, tmp_path, places, monkeypatch, capfd):
    (presses, *options), path = how, ask(tmp_path).checkpoint_path
    retrain(ask(tmp_path), stopped=path.exists)
    before = path.read_bytes()

    def press_and_load(data_dir):
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)
        return MNIST.load(data_dir)

    monkeypatch.setitem(ZOO, "mnist", replace(MNIST, load=press_and_load))
    command = ["retrain", "mnist", "--recipe", "course", "--data-dir", str(DATA), "--epochs", "4", *places, *options]
    assert main(command) == 130
    assert capfd.readouterr().err.endswith(f"interrupted: nothing published; checkpoint kept at {path}\n")
    assert path.read_bytes() == before


def test_ctrl_c_twice_keeps_the_epochs_of_a_resumed_run(tmp_path):
    path = ask(tmp_path).checkpoint_path
    retrain(ask(tmp_path), stopped=path.exists)

    def press_twice_after_two_epochs():
        if len(torch.load(path, weights_only=True)["history"]) >= 2:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        retrain(ask(tmp_path, resume=True), stopped=press_twice_after_two_epochs)
    assert len(torch.load(path, weights_only=True)["history"]) == 2


def test_model_below_its_minimum_accuracy_is_not_published(tmp_path, places, capfd):
    assert main(["retrain", "mnist", "--epochs", "1", "--data-dir", str(DATA), *places]) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    floor = f"{MNIST.min_accuracy['published']:.2%}"
    assert re.fullmatch(rf"mnist: accuracy .*% on 60 test images is below {floor}; nothing published; .*", error)
    assert not (tmp_path / "models" / "mnist").exists()


def test_unreadable_data_is_reported_in_one_line(tmp_path, places, capfd):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for url, _ in datasets.MNIST.resources:
        (raw / url.removesuffix(".gz")).write_bytes(b"corrupt")
    assert main(["retrain", "mnist", "--data-dir", str(tmp_path), *places]) == 1
    error = capfd.readouterr().err
    assert "mnist: cannot read" in error
    assert "Traceback" not in error


def test_missing_checkpoint_is_reported_in_one_line(places, capfd):
    assert main(["retrain", "mnist", "--data-dir", str(DATA), "--resume", *places]) == 1
    assert "mnist: nothing to resume" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--checkpoint-dir"])
def test_file_in_place_of_a_folder_is_rejected_before_training(option, tmp_path, places, capfd):
    (tmp_path / "file").write_bytes(b"mine")
    command = ["retrain", "mnist", "--data-dir", str(tmp_path / "no data"), *places, option, str(tmp_path / "file")]
    assert main(command) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert re.fullmatch(rf"mnist: cannot write to .*/file.*: .*; choose a writable folder with {option}", error)
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder where even root cannot write")
@pytest.mark.parametrize("option", ["--out", "--checkpoint-dir"])
def test_folder_that_is_not_writable_is_rejected_in_one_line(option, tmp_path, places, capfd):
    command = ["retrain", "mnist", "--data-dir", str(tmp_path / "no data"), *places, option, "/proc/self"]
    assert main(command) == 1
    assert "mnist: cannot write to /proc/self" in capfd.readouterr().err.splitlines()[-1]
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_device_is_rejected(places, capfd):
    assert main(["retrain", "mnist", "--device", "cuda", *places]) == 1
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


def test_progress_bar_shows_loss_accuracy_speed_and_time_left(places):
    watcher, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (40, 200))
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "training",
        "retrain",
        "mnist",
        "--recipe",
        "course",
        "--epochs",
        "2",
    ]
    command += ["--data-dir", str(DATA), "--min-accuracy", "0", *places]
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


def start_long_run(data, places):
    command = [sys.executable, "-m", "training", "retrain", "mnist", "--recipe", "course", "--epochs", "1000"]
    command += ["--data-dir", str(data), *places]
    return subprocess.Popen(
        [*command, "--min-accuracy", "0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process, words):
    """Read stderr of the run up to the line that contains ``words``."""
    return next(line for line in process.stderr if words in line)


def test_ctrl_c_once_publishes_the_best_epoch_so_far(many_digits, places, tmp_path):
    with start_long_run(many_digits, places) as process:
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


def test_ctrl_c_twice_leaves_no_files(many_digits, places, tmp_path):
    with start_long_run(many_digits, places) as process:
        wait_for(process, "epoch 1/")
        process.send_signal(signal.SIGINT)
        wait_for(process, "Ctrl-C again")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    assert process.returncode == 130
    assert (output, errors) == ("", "interrupted: nothing published; no checkpoint kept\n")
    assert list(tmp_path.rglob("*")) == []


def test_ctrl_c_in_the_first_epoch_publishes_nothing(many_digits, places, tmp_path):
    with start_long_run(many_digits, places) as process:
        wait_for(process, "training mnist with recipe course on cpu")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert list(tmp_path.rglob("*")) == []


def test_sigterm_leaves_no_files(many_digits, places, tmp_path):
    with start_long_run(many_digits, places) as process:
        wait_for(process, "training mnist with recipe course on cpu")
        process.terminate()
        process.communicate()
    assert process.returncode == 143
    assert list(tmp_path.rglob("*")) == []


def test_strength_discount_changes_logits_not_probabilities(tmp_path):
    images = MNIST.load(DATA).test.images.numpy()
    outputs = []
    for discount in (0.0, 0.25):
        options = ask(tmp_path, epochs=1, out=f"by {discount}", strength_discount=discount)
        folder = retrain(options, stopped=lambda: False).folder
        outputs.append(run_onnx(folder / "model.onnx", ["probabilities", "logits"], images))
    (probabilities, logits), (same, discounted) = outputs
    np.testing.assert_allclose(same, probabilities, atol=1e-4)
    correction = logits - discounted
    np.testing.assert_allclose(correction, np.repeat(correction[:, :1], 10, axis=1), atol=1e-3)
    assert correction.std() > 0.01
