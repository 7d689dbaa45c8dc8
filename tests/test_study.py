"""The course's study: every combination once, by several processes, resumed where it was, and drawn."""

import json

import pytest
import torch
from PIL import Image
from served import ROOT

from training import study as module
from training.__main__ import main
from training.study import Study, StudyRun, read_runs, write_runs
from training.study_report import render_table, select, write_study

DATA = ROOT / "tests" / "data"


def made_up(lr, batch_size, drop_rate, seed):
    epoch = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.8, "val_loss": lr, "val_accuracy": 0.9}
    return StudyRun(
        lr=lr,
        batch_size=batch_size,
        drop_rate=drop_rate,
        seed=seed,
        val_accuracy=0.9 + lr + seed / 100,
        test_accuracy=0.9,
        seconds=3.0,
        hardware="",
        git_commit="",
        history=[epoch, {**epoch, "epoch": 2}],
    )


RUNS = [
    made_up(lr, size, rate, seed)
    for lr in (1e-2, 1e-3, 1e-4)
    for size in (32, 256)
    for rate in (0.0, 0.3, 0.5)
    for seed in (0, 1, 2)
]


def test_every_combination_is_run_once_and_none_again(tmp_path, capsys):
    study = ["study", "--jobs", "2", "--epochs", "1", "--device", "cpu", "--data-dir", str(DATA)]
    study += ["--storage", str(tmp_path / "study.journal"), "--out", str(tmp_path / "study")]
    assert main(study) == 0
    assert "wrote 54 runs" in capsys.readouterr().out
    runs = read_runs(tmp_path / "study" / "runs.jsonl")
    assert len({(run.lr, run.batch_size, run.drop_rate, run.seed) for run in runs}) == len(runs) == 54
    assert {path.name for path in (tmp_path / "study").iterdir()} == {
        "runs.jsonl",
        "curves.png",
        "heat.png",
        "table.md",
    }
    before = (tmp_path / "study.journal").read_bytes()
    assert main(study) == 0
    trained = [line for line in (tmp_path / "study.journal").read_bytes()[len(before) :].splitlines() if b"run" in line]
    assert [line for line in trained if b"history" in line] == []
    assert "epoch 1/1" in (tmp_path / "study.log").read_text()


def test_the_same_combination_gives_the_same_run_and_other_ones_another(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRID", {"lr": [1e-3], "batch_size": [32], "drop_rate": [0.3], "seed": [0, 1]})
    found = []
    for name in ("first", "second"):
        study = Study(storage=tmp_path / name, data_dir=DATA, device=torch.device("cpu"), epochs=2)
        trials = study.open()
        data = module.load_mnist(DATA)
        trials.optimize(lambda trial, study=study, data=data: module._train(study, data, trial))
        found.append([[epoch["val_loss"] for epoch in run.history] for run in study.finished()])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_a_run_that_failed_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRID", {"lr": [1e-3], "batch_size": [32], "drop_rate": [0.3], "seed": [0, 1]})
    study = Study(storage=tmp_path / "study.journal", data_dir=DATA, device=torch.device("cpu"), epochs=1)

    def fail(trial):
        for name in module.GRID:
            module._choose(trial, name)
        raise ValueError("as it may happen")

    with pytest.raises(ValueError, match="as it may happen"):
        study.open().optimize(fail)
    module._try_again(study.open())
    data = module.load_mnist(DATA)
    study.open().optimize(lambda trial: module._train(study, data, trial))
    assert len(study.finished()) == 2


def test_there_must_be_images(tmp_path, capsys):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        (tmp_path / "MNIST" / "raw" / name).write_bytes(b"spoiled")
    assert main(["study", "--data-dir", str(tmp_path), "--storage", str(tmp_path / "s"), "--out", str(tmp_path)]) == 1
    assert "cannot read" in capsys.readouterr().err


def test_runs_are_kept_a_line_each(tmp_path):
    write_runs(tmp_path / "runs.jsonl", RUNS)
    assert read_runs(tmp_path / "runs.jsonl") == RUNS
    assert len([json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]) == 54


def test_the_table_has_every_combination_with_its_spread():
    table = render_table(RUNS)
    assert "| 0.01 | 32 | 0.3 | 3 | 92.00% ± 1.00 | 90.00% ± 0.00 | 0.500 | 0.010 | 3 |" in table
    assert len(table.splitlines()) == 2 + 18
    assert len(select(RUNS, lr=1e-2, drop_rate=0.5)) == 6


def test_the_figures_are_pictures(tmp_path):
    write_study(tmp_path / "study", RUNS)
    for name in ("curves.png", "heat.png"):
        with Image.open(tmp_path / "study" / name) as figure:
            assert figure.width > 800
