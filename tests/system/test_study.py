"""Tests of the grid studies: combinations, processes, resumption, reports."""

import itertools
import json
from dataclasses import replace
from datetime import datetime

import optuna
import pytest
import torch
from optuna.trial import TrialState
from PIL import Image
from support.paths import DATA, ROOT

from training.__main__ import main
from training.data.augmentation import Augmentation
from training.study.questions import QUESTIONS
from training.study.report import combinations, render_table, select, write_if_complete, write_study
from training.study.runs import Study, StudyRun, queue_again, read_runs, requeue_failed, run_worker, write_runs

SMALL = replace(QUESTIONS["mlp"], grid={"lr": [1e-3], "batch_size": [32], "drop_rate": [0.3], "seed": [0, 1]})


def example_run(settings, seed):
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
    name: [example_run(settings, seed) for settings, seed in itertools.product(combinations(question), (0, 1, 2))]
    for name, question in QUESTIONS.items()
}


@pytest.mark.parametrize(("name", "count"), [("mlp", 54), ("cnn", 12)])
def test_study_runs_every_combination_once(tmp_path, capsys, name, count):
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


def small_study(storage, epochs=1):
    return Study(question=SMALL, storage=storage, data_dir=DATA, device=torch.device("cpu"), epochs=epochs)


def suggest(trial):
    return {name: trial.suggest_categorical(name, values) for name, values in SMALL.grid.items()}


def claim(trials):
    """Claim a combination as a worker does, and return its settings."""
    return suggest(trials.ask())


def test_runs_are_reproducible_per_combination(tmp_path):
    found = []
    for name in ("first", "second"):
        study = small_study(tmp_path / name, epochs=2)
        run_worker(study, datetime.now(), jobs=1)
        found.append([[epoch["val_loss"] for epoch in run.history] for run in study.complete_runs(study.open())])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


@pytest.mark.parametrize("error", [ValueError, optuna.TrialPruned])
@pytest.mark.parametrize("count", [1, 2])
def test_failed_or_pruned_run_is_queued_again(tmp_path, error, count):
    def end(trial):
        suggest(trial)
        raise error

    study = small_study(tmp_path / "study.journal")
    study.open().optimize(end, n_trials=count, catch=ValueError)
    for _ in range(2):  # the second call finds the queued runs
        requeue_failed(study.open())
    assert len(study.open().get_trials(states=(TrialState.WAITING,))) == count
    run_worker(study, datetime.now(), jobs=1)
    assert len(study.complete_runs(study.open())) == 2


def test_worker_skips_running_and_retries_abandoned_runs(tmp_path):
    study, started = small_study(tmp_path / "study.journal"), datetime.now()
    claimed = claim(study.open())
    run_worker(study, started, jobs=1)
    (run,) = study.complete_runs(study.open())
    assert run.seed != claimed["seed"]
    run_worker(study, datetime.now(), jobs=1)  # a later command retries the unfinished run
    assert len(study.complete_runs(study.open())) == 2
    assert len(study.open().get_trials()) == 3


def test_storage_separates_studies_of_different_epochs(tmp_path):
    short, longer = small_study(tmp_path / "study.journal"), small_study(tmp_path / "study.journal", epochs=2)
    run_worker(short, datetime.now(), jobs=1)
    assert longer.complete_runs(longer.open()) == []
    run_worker(longer, datetime.now(), jobs=1)
    assert [len(run.history) for run in longer.complete_runs(longer.open())] == [2, 2]
    assert [len(run.history) for run in short.complete_runs(short.open())] == [1, 1]


def test_epochs_needs_out(capsys):
    with pytest.raises(SystemExit):
        main(["study", "mlp", "--epochs", "1", "--data-dir", str(DATA)])
    assert "--epochs: --out is required" in capsys.readouterr().err


def test_no_report_is_written_while_runs_are_missing(tmp_path):
    study, runs = small_study(tmp_path / "study.journal"), [example_run({}, 0)]
    assert write_if_complete(tmp_path / "out", study, runs).startswith("1 of 2 runs are complete")
    assert not (tmp_path / "out").exists()


def test_second_trial_of_a_running_combination_is_pruned(tmp_path):
    study, started = small_study(tmp_path / "study.journal"), datetime.now()
    claimed = claim(study.open())
    queue_again(study.open(), study.open().get_trials()[0])
    run_worker(study, started, jobs=1)
    states = [trial.state for trial in study.open().get_trials() if trial.params == claimed]
    assert states == [TrialState.RUNNING, TrialState.PRUNED]


def test_study_reports_unreadable_images(tmp_path, capsys):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        (tmp_path / "MNIST" / "raw" / name).write_bytes(b"spoiled")
    assert main(["study", "--data-dir", str(tmp_path), "--storage", str(tmp_path / "s"), "--out", str(tmp_path)]) == 1
    assert f"cannot read {tmp_path / 'MNIST'}" in capsys.readouterr().err  # the data set of the first study


def test_runs_are_written_one_per_line(tmp_path):
    write_runs(tmp_path / "runs.jsonl", RUNS["mlp"])
    assert read_runs(tmp_path / "runs.jsonl") == RUNS["mlp"]
    assert len([json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]) == 54


def test_table_has_every_combination_with_spread():
    table = render_table(QUESTIONS["mlp"], RUNS["mlp"])
    row = "| 0.01 | 32 | 0.3 | 3 | 91.00% ± 1.00 | 90.00% ± 0.00 | 0.500 | 0.300 | 0.200 | 1, 1, 1 | 0.1000 | 3 |"
    assert row in table
    assert len(table.splitlines()) == 2 + 18
    assert len(select(RUNS["mlp"], lr=1e-2, drop_rate=0.5)) == 6
    assert "| no | yes | 3 |" in render_table(QUESTIONS["cnn"], RUNS["cnn"])


@pytest.mark.parametrize("name", QUESTIONS)
def test_published_table_matches_the_published_runs(name):
    folder = ROOT / "docs" / "study" / name
    runs = read_runs(folder / "runs.jsonl")
    assert render_table(QUESTIONS[name], runs) + "\n" == (folder / "table.md").read_text()
    assert all(run.history and len(run.git_commit) == 40 for run in runs)  # of a clean checkout


def test_vary_disables_parts_of_the_recipe():
    question = QUESTIONS["cnn"]
    without = question.vary(question.recipe, {"normalized": False, "augmented": False})
    assert (without.normalized, without.augmentation) == (False, Augmentation())
    assert question.vary(question.recipe, {"normalized": True, "augmented": True}) == question.recipe


@pytest.mark.parametrize(("name", "figures"), [("mlp", ["curves.png", "heat.png"]), ("cnn", ["curves.png"])])
def test_study_writes_its_plots(tmp_path, name, figures):
    write_study(tmp_path, QUESTIONS[name], RUNS[name])
    for file in figures:
        with Image.open(tmp_path / file) as figure:
            assert figure.width > 800
