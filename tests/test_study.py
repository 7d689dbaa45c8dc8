"""Studies: every combination once, by several processes, resumed where it was, and drawn."""

import itertools
import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from served import ROOT

from training import study as module
from training.__main__ import main
from training.augmentation import Augmentation
from training.questions import QUESTIONS
from training.study import Study, StudyRun, read_runs, write_runs
from training.study_report import combinations, render_table, select, write_study

DATA = ROOT / "tests" / "data"
SMALL = replace(QUESTIONS["mlp"], grid={"lr": [1e-3], "batch_size": [32], "drop_rate": [0.3], "seed": [0, 1]})


def made_up(settings, seed):
    epoch = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.8, "val_loss": 0.2, "val_accuracy": 0.9}
    return StudyRun(
        settings=settings,
        seed=seed,
        val_accuracy=0.9 + seed / 100,
        test_accuracy=0.9,
        seconds=3.0,
        hardware="",
        git_commit="",
        history=[epoch, {**epoch, "epoch": 2, "val_loss": 0.3}],
    )


RUNS = {
    name: [made_up(settings, seed) for settings, seed in itertools.product(combinations(question), (0, 1, 2))]
    for name, question in QUESTIONS.items()
}


@pytest.mark.parametrize(("name", "count"), [("mlp", 54), ("cnn", 12)])
def test_every_combination_is_run_once_and_none_again(tmp_path, capsys, name, count):
    study = ["study", name, "--jobs", "2", "--epochs", "1", "--device", "cpu", "--data-dir", str(DATA)]
    study += ["--storage", str(tmp_path / "study.journal"), "--out", str(tmp_path / "study")]
    assert main(study) == 0
    assert f"wrote {count} runs" in capsys.readouterr().out
    runs = read_runs(tmp_path / "study" / "runs.jsonl")
    assert len({(*run.settings.values(), run.seed) for run in runs}) == len(runs) == count
    before = (tmp_path / "study.journal").read_bytes()
    assert main(study) == 0
    trained = [line for line in (tmp_path / "study.journal").read_bytes()[len(before) :].splitlines() if b"run" in line]
    assert [line for line in trained if b"history" in line] == []
    assert "epoch 1/1" in (tmp_path / "study.log").read_text()


def test_the_same_combination_gives_the_same_run_and_other_ones_another(tmp_path):
    found = []
    for name in ("first", "second"):
        study = Study(question=SMALL, storage=tmp_path / name, data_dir=DATA, device=torch.device("cpu"), epochs=2)
        trials = study.open()
        data = SMALL.model.load(DATA)
        trials.optimize(lambda trial, study=study, data=data: module._train(study, data, trial))
        found.append([[epoch["val_loss"] for epoch in run.history] for run in study.finished()])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_a_run_that_failed_is_tried_again(tmp_path):
    study = Study(
        question=SMALL, storage=tmp_path / "study.journal", data_dir=DATA, device=torch.device("cpu"), epochs=1
    )

    def fail(trial):
        for name in SMALL.grid:
            module._choose(SMALL, trial, name)
        raise ValueError("as it may happen")

    with pytest.raises(ValueError, match="as it may happen"):
        study.open().optimize(fail)
    module._try_again(study.open())
    data = SMALL.model.load(DATA)
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
    assert (
        main(["study", "mlp", "--data-dir", str(tmp_path), "--storage", str(tmp_path / "s"), "--out", str(tmp_path)])
        == 1
    )
    assert "cannot read" in capsys.readouterr().err


def test_runs_are_kept_a_line_each(tmp_path):
    write_runs(tmp_path / "runs.jsonl", RUNS["mlp"])
    assert read_runs(tmp_path / "runs.jsonl") == RUNS["mlp"]
    assert len([json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]) == 54


def test_the_table_has_every_combination_with_its_spread():
    table = render_table(QUESTIONS["mlp"], RUNS["mlp"])
    row = "| 0.01 | 32 | 0.3 | 3 | 91.00% ± 1.00 | 90.00% ± 0.00 | 0.500 | 0.300 | 0.200 | 1, 1, 1 | 0.1000 | 3 |"
    assert row in table
    assert len(table.splitlines()) == 2 + 18
    assert len(select(RUNS["mlp"], lr=1e-2, drop_rate=0.5)) == 6
    assert "| no | yes | 3 |" in render_table(QUESTIONS["cnn"], RUNS["cnn"])


def test_parts_are_taken_away_from_the_recipe():
    question = QUESTIONS["cnn"]
    without = question.vary(question.recipe, {"normalized": False, "augmented": False})
    assert (without.normalized, without.augmentation) == (False, Augmentation())
    assert question.vary(question.recipe, {"normalized": True, "augmented": True}) == question.recipe


@pytest.mark.parametrize(("name", "figures"), [("mlp", ["curves.png", "heat.png"]), ("cnn", ["curves.png"])])
def test_the_figures_are_pictures(tmp_path, name, figures):
    write_study(tmp_path / "study", QUESTIONS[name], RUNS[name])
    for file in figures:
        with Image.open(tmp_path / "study" / file) as figure:
            assert figure.width > 800
