"""Tests of seeds, ablations and the cards rendered from their ledger lines."""

import re
from dataclasses import replace

import pytest
from support.paths import DATA
from support.retraining import at_validation, interrupt, make_retraining_options

from training.__main__ import main
from training.pipeline.experiments import ablate, rewrite_card, train_seeds
from training.pipeline.retraining import retrain
from training.recipes.ablations import ABLATIONS
from training.recipes.recipe import Recipe
from training.recipes.zoo import MNIST, ZOO
from training.reporting.comparisons import describe_ablations
from training.reporting.ledger import LedgerError, read_runs


def runs_of(tmp_path):
    return read_runs(tmp_path / "docs" / "runs.jsonl")


def call(*arguments, tmp_path, models=ZOO):
    """Run a command on the models and the ledger in ``tmp_path``; return its exit code."""
    command = [*arguments, "--data-dir", str(DATA)]
    return main(command, models=models, models_dir=tmp_path / "models", ledger=tmp_path / "docs" / "runs.jsonl")


def ignore(_name, _result):
    """Ignore the report of a run."""


def test_seeds_append_one_line_each_and_skip_known_seeds(tmp_path):
    options, reported = make_retraining_options(tmp_path, epochs=1), []
    train_seeds(options, [1, 2], report=lambda name, published: reported.append((name, published is None)))
    train_seeds(options, [2, 3], report=lambda name, published: reported.append((name, published is None)))
    assert reported == [("seed 1", False), ("seed 2", False), ("seed 2", True), ("seed 3", False)]
    assert [(run.seed, run.version) for run in runs_of(tmp_path)] == [(1, ""), (2, ""), (3, "")]
    assert not (tmp_path / "models").exists()
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_interrupted_seed_resumes_from_its_checkpoint(tmp_path, capsys):
    model = at_validation(MNIST, interrupt, epoch=3)
    with pytest.raises(KeyboardInterrupt):
        train_seeds(make_retraining_options(tmp_path, model=model, epochs=3), [1], report=ignore)
    assert "epoch 2/3" in capsys.readouterr().err
    train_seeds(make_retraining_options(tmp_path, epochs=3), [1], report=ignore)
    assert re.findall(r"epoch \d/3", capsys.readouterr().err) == ["epoch 3/3"]
    assert [run.epochs for run in runs_of(tmp_path)] == [3]


def test_ablation_changes_one_setting_and_a_third_of_the_epochs(tmp_path, monkeypatch):
    rows = {"as published": {}, "half dropped out": {"drop_rate": 0.5}}
    monkeypatch.setitem(ABLATIONS, "mnist", rows)
    ablate(make_retraining_options(tmp_path, epochs=3), epochs=None, report=ignore)
    whole, without = runs_of(tmp_path)
    assert (whole.ablation, without.ablation) == ("as published", "half dropped out")
    assert (whole.epochs, without.epochs) == (1, 1)
    changed = {name for name in whole.settings if whole.settings[name] != without.settings[name]}
    assert changed == {"drop_rate"}


def test_ablation_of_hard_examples_keeps_the_number_of_images(tmp_path, monkeypatch):
    monkeypatch.setitem(ABLATIONS, "mnist", {"every image": {"hardest": 1.0}})
    ablate(make_retraining_options(tmp_path, epochs=12, hardest=0.5), epochs=None, report=ignore)
    assert [run.epochs for run in runs_of(tmp_path)] == [2]


def test_every_ablation_changes_the_recipe_of_a_model():
    assert set(ABLATIONS) <= set(ZOO)
    for name, rows in ABLATIONS.items():
        published = ZOO[name].recipes["published"]
        assert [row for row, changes in rows.items() if replace(published, **changes) == published] == ["as published"]


def test_rewritten_card_has_spread_and_ablations(tmp_path, monkeypatch):
    folder = retrain(make_retraining_options(tmp_path, epochs=1), stopped=lambda: False).folder
    before = (folder / "README.md").read_text()
    assert "Only one seed was trained." in before
    train_seeds(make_retraining_options(tmp_path, epochs=1), [1, 2], report=ignore)
    monkeypatch.setitem(ABLATIONS, "mnist", {"as published": {}, "half dropped out": {"drop_rate": 0.5}})
    ablate(make_retraining_options(tmp_path, epochs=1), epochs=1, report=ignore)
    model = (folder / "model.onnx").read_bytes()
    measured = [folder / "corruptions.json", folder / "robustness.json"]
    for path in measured:
        path.unlink()
    assert rewrite_card(MNIST, DATA, models_dir=tmp_path / "models", ledger=tmp_path / "docs" / "runs.jsonl") == folder
    after = (folder / "README.md").read_text()
    accuracies = [run.test.accuracy * 100 for run in runs_of(tmp_path) if not run.ablation]
    assert "over the seeds 0, 1, 2: accuracy" in after
    assert f"accuracy {sum(accuracies) / 3:.2f} ± " in after
    assert "| half dropped out | " in after
    assert (folder / "model.onnx").read_bytes() == model
    assert all(path.exists() for path in measured)


def test_card_reports_a_missing_version(tmp_path, capsys):
    assert call("card", "mnist", tmp_path=tmp_path) == 1
    assert capsys.readouterr().err.startswith("mnist: no version in ")


def test_seeds_command_prints_one_line_per_run(tmp_path, capsys):
    models = {"mnist": replace(MNIST, recipes={"published": Recipe(epochs=1)})}
    checkpoints = str(tmp_path / "checkpoints")
    for _ in range(2):
        command = ["seeds", "mnist", "--seeds", "4", "--checkpoint-dir", checkpoints]
        assert call(*command, tmp_path=tmp_path, models=models) == 0
    first, again = capsys.readouterr().out.splitlines()
    assert first.startswith("seed 4: accuracy ")
    assert again == "seed 4: skipped, already recorded"
    assert [run.seed for run in runs_of(tmp_path)] == [4]


def test_stopped_run_does_not_count_as_done(tmp_path):
    options = make_retraining_options(tmp_path, epochs=3)
    stop = options.checkpoint_path.exists
    assert retrain(options, stopped=stop).run.stopped
    reported = []
    train_seeds(options, [0], report=lambda _name, published: reported.append(published))
    assert reported[0] is not None
    first, second = runs_of(tmp_path)
    assert (first.stopped, second.stopped) == (True, False)
    assert not first.is_repeat_of(second)


def test_is_repeat_of_compares_data_model_ablation_and_recipe(tmp_path):
    train_seeds(make_retraining_options(tmp_path, epochs=1), [1], report=ignore)
    (run,) = runs_of(tmp_path)
    assert run.is_repeat_of(replace(run, seed=5, minutes=9.0))
    for change in (
        {"dataset": {"train": "0"}},
        {"ablation": "half dropped out"},
        {"model": "cifar10"},
        {"settings": {**run.settings, "lr": 0.5}},
    ):
        assert not run.is_repeat_of(replace(run, **change))


def test_is_repeat_of_ignores_settings_added_later(tmp_path):
    train_seeds(make_retraining_options(tmp_path, epochs=1), [1], report=ignore)
    (run,) = runs_of(tmp_path)
    older = {name: value for name, value in run.settings.items() if name != "teacher"}
    assert run.is_repeat_of(replace(run, settings=older))


def test_ablation_table_has_one_row_per_comparable_ablation(tmp_path, monkeypatch):
    monkeypatch.setitem(ABLATIONS, "mnist", {"as published": {}, "half dropped out": {"drop_rate": 0.5}})
    train_seeds(make_retraining_options(tmp_path, epochs=4), [0], report=ignore)
    (whole,) = runs_of(tmp_path)

    def row(ablation, *, epochs=2, accuracy=0.5, **changes):
        settings = {**whole.settings, "epochs": epochs, **changes}
        val = replace(whole.val, accuracy=accuracy)
        return replace(whole, ablation=ablation, epochs=epochs, settings=settings, val=val)

    rows = [
        row("as published", epochs=1, accuracy=0.1),  # fewer images
        row("half dropped out", epochs=1, accuracy=0.1, drop_rate=0.5),
        row("as published", accuracy=0.4),
        row("half dropped out", drop_rate=0.5),
        row("half dropped out", accuracy=0.6, drop_rate=0.5),
        row("half dropped out", accuracy=0.7, drop_rate=0.5, lr=0.5),  # another recipe
        row("forgotten", accuracy=0.7, drop_rate=0.6),  # an unknown ablation
    ]
    table = describe_ablations(whole, rows)
    assert [line.split(" | ")[:3] for line in table.splitlines() if "%" in line] == [
        ["| as published", "2", "40.00%"],
        ["| half dropped out", "2", "60.00%"],
    ]
    assert describe_ablations(replace(whole, settings={**whole.settings, "lr": 0.5}), rows) == ""


def test_ablate_reports_a_model_without_ablations(tmp_path, capsys):
    command = ["ablate", "mnist-resnet", "--checkpoint-dir", str(tmp_path / "checkpoints")]
    assert call(*command, tmp_path=tmp_path) == 1
    assert "no ablations in training/recipes/ablations.py" in capsys.readouterr().err


def test_ctrl_c_ends_seeds_and_keeps_the_checkpoint(tmp_path, capsys):
    models = {"mnist": at_validation(MNIST, interrupt, epoch=2)}
    command = ["seeds", "mnist", "--recipe", "course", "--seeds", "4", "--epochs", "2"]
    command += ["--checkpoint-dir", str(tmp_path / "checkpoints")]
    assert call(*command, tmp_path=tmp_path, models=models) == 130
    assert "run the same command again to continue" in capsys.readouterr().err
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_invalid_ledger_is_reported_before_training(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "runs.jsonl").write_text("not a run\n")
    with pytest.raises(LedgerError, match="restore the file from git"):
        retrain(make_retraining_options(tmp_path), stopped=lambda: False)
