"""Tests of seeds, ablations and the cards rendered from their ledger lines."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.paths import DATA
from support.retraining import ask

from training.__main__ import main
from training.pipeline import experiments, retraining
from training.pipeline.experiments import ablate, rewrite_card, train_seeds
from training.pipeline.retraining import retrain
from training.recipes.ablations import ABLATIONS
from training.recipes.recipe import Recipe
from training.recipes.zoo import MNIST, ZOO
from training.reporting.comparisons import describe_ablations
from training.reporting.ledger import LedgerError, read_runs


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A temporary repository with a ledger and models/."""
    for module in (retraining, experiments):
        monkeypatch.setattr(module, "LEDGER", tmp_path / "docs" / "runs.jsonl")
        monkeypatch.setattr(module, "MODELS_DIR", tmp_path / "models")
    return tmp_path


def runs_of(repository):
    return read_runs(repository / "docs" / "runs.jsonl")


def test_seeds_append_one_line_each_and_skip_known_seeds(repository):
    options, reported = ask(repository, epochs=1), []
    train_seeds(options, [1, 2], report=lambda name, published: reported.append((name, published is None)))
    train_seeds(options, [2, 3], report=lambda name, published: reported.append((name, published is None)))
    assert reported == [("seed 1", False), ("seed 2", False), ("seed 2", True), ("seed 3", False)]
    assert [(run.seed, run.version) for run in runs_of(repository)] == [(1, ""), (2, ""), (3, "")]
    assert not (repository / "models").exists()
    assert list((repository / "checkpoints").iterdir()) == []


def test_interrupted_seed_resumes_from_its_checkpoint(repository, monkeypatch):
    options = ask(repository, epochs=3)

    def stop_after_two(path, checkpoint):
        save(path, checkpoint)
        if len(checkpoint.history) == 2:
            raise KeyboardInterrupt

    save = retraining.save_checkpoint
    monkeypatch.setattr(retraining, "save_checkpoint", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        train_seeds(options, [1], report=lambda _name, _published: None)
    epochs = []
    monkeypatch.setattr(retraining, "save_checkpoint", lambda _path, checkpoint: epochs.append(len(checkpoint.history)))
    train_seeds(options, [1], report=lambda _name, _published: None)
    assert epochs == [3]
    assert [run.epochs for run in runs_of(repository)] == [3]


def test_ablation_changes_one_setting_and_a_third_of_the_epochs(repository, monkeypatch):
    rows = {"as published": {}, "half dropped out": {"drop_rate": 0.5}}
    monkeypatch.setitem(ABLATIONS, "mnist", rows)
    ablate(ask(repository, epochs=3), epochs=None, report=lambda _name, _published: None)
    whole, without = runs_of(repository)
    assert (whole.ablation, without.ablation) == ("as published", "half dropped out")
    assert (whole.epochs, without.epochs) == (1, 1)
    changed = {name for name in whole.settings if whole.settings[name] != without.settings[name]}
    assert changed == {"drop_rate"}


def test_ablation_of_hard_examples_keeps_the_number_of_images(repository, monkeypatch):
    monkeypatch.setattr(experiments, "ABLATIONS", {"mnist": {"every image": {"hardest": 1.0}}})
    options, recipes = ask(repository), []
    monkeypatch.setattr(experiments, "retrain", lambda options, stopped: recipes.append(options.recipe))
    hard = replace(options, recipe=replace(options.recipe, hardest=0.5, epochs=12))
    ablate(hard, epochs=None, report=lambda _name, _published: None)
    assert [recipe.epochs for recipe in recipes] == [2]


def test_every_ablation_changes_the_recipe_of_a_model():
    assert set(ABLATIONS) <= set(ZOO)
    for name, rows in ABLATIONS.items():
        published = ZOO[name].recipes["published"]
        assert [row for row, changes in rows.items() if replace(published, **changes) == published] == ["as published"]


def test_rewritten_card_has_spread_and_ablations(repository, monkeypatch):
    folder = retrain(ask(repository, epochs=1), stopped=lambda: False).folder
    before = (folder / "README.md").read_text()
    assert "Only one seed was trained." in before
    train_seeds(ask(repository, epochs=1), [1, 2], report=lambda _name, _published: None)
    monkeypatch.setitem(ABLATIONS, "mnist", {"as published": {}, "half dropped out": {"drop_rate": 0.5}})
    ablate(ask(repository, epochs=1), epochs=1, report=lambda _name, _published: None)
    model = (folder / "model.onnx").read_bytes()
    assert rewrite_card(MNIST, DATA) == folder
    after = (folder / "README.md").read_text()
    accuracies = [run.test.accuracy * 100 for run in runs_of(repository) if not run.ablation]
    assert "over the seeds 0, 1, 2: accuracy" in after
    assert f"accuracy {sum(accuracies) / 3:.2f} ± " in after
    assert "| half dropped out | " in after
    assert (folder / "model.onnx").read_bytes() == model


@pytest.mark.usefixtures("repository")
def test_card_reports_a_missing_version(capsys):
    assert main(["card", "mnist", "--data-dir", str(DATA)]) == 1
    assert capsys.readouterr().err.startswith("mnist: no version in ")


def test_seeds_command_prints_one_line_per_run(repository, monkeypatch, capsys):
    monkeypatch.setitem(ZOO, "mnist", replace(MNIST, recipes={"published": Recipe(epochs=1)}))
    places = ["--data-dir", str(DATA), "--checkpoint-dir", str(repository / "checkpoints")]
    for _ in range(2):
        assert main(["seeds", "mnist", "--seeds", "4", *places]) == 0
    first, again = capsys.readouterr().out.splitlines()
    assert first.startswith("seed 4: accuracy ")
    assert again == "seed 4: skipped, already in docs/runs.jsonl"
    (line,) = Path(repository / "docs" / "runs.jsonl").read_text().splitlines()
    assert json.loads(line)["seed"] == 4


def test_stopped_run_does_not_count_as_done(repository):
    options = ask(repository, epochs=3)
    stop = options.checkpoint_path.exists
    assert retrain(options, stopped=stop).run.stopped
    reported = []
    train_seeds(options, [0], report=lambda _name, published: reported.append(published))
    assert reported[0] is not None
    first, second = runs_of(repository)
    assert (first.stopped, second.stopped) == (True, False)
    assert not first.is_repeat_of(second)


def test_is_repeat_of_compares_data_model_ablation_and_recipe(repository):
    train_seeds(ask(repository, epochs=1), [1], report=lambda _name, _published: None)
    (run,) = runs_of(repository)
    assert run.is_repeat_of(replace(run, seed=5, minutes=9.0))
    for change in (
        {"dataset": {"train": "0"}},
        {"ablation": "half dropped out"},
        {"model": "cifar10"},
        {"settings": {**run.settings, "lr": 0.5}},
    ):
        assert not run.is_repeat_of(replace(run, **change))


def test_is_repeat_of_ignores_settings_added_later(repository):
    train_seeds(ask(repository, epochs=1), [1], report=lambda _name, _published: None)
    (run,) = runs_of(repository)
    older = {name: value for name, value in run.settings.items() if name != "teacher"}
    assert run.is_repeat_of(replace(run, settings=older))


def test_ablation_table_has_one_row_per_comparable_ablation(repository, monkeypatch):
    monkeypatch.setitem(ABLATIONS, "mnist", {"as published": {}, "half dropped out": {"drop_rate": 0.5}})
    train_seeds(ask(repository, epochs=4), [0], report=lambda _name, _published: None)
    (whole,) = runs_of(repository)

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


def test_ablate_reports_a_model_without_ablations(repository, capsys):
    places = ["--data-dir", str(DATA), "--checkpoint-dir", str(repository / "checkpoints")]
    assert main(["ablate", "mnist-resnet", *places]) == 1
    assert "no ablations in training/recipes/ablations.py" in capsys.readouterr().err


def test_ctrl_c_ends_seeds_and_keeps_the_checkpoint(repository, monkeypatch, capsys):
    def save_and_interrupt(path, checkpoint):
        save(path, checkpoint)
        raise KeyboardInterrupt

    save = retraining.save_checkpoint
    monkeypatch.setattr(retraining, "save_checkpoint", save_and_interrupt)
    places = ["--data-dir", str(DATA), "--checkpoint-dir", str(repository / "checkpoints")]
    assert main(["seeds", "mnist", "--recipe", "course", "--seeds", "4", "--epochs", "2", *places]) == 130
    assert "run the same command again to continue" in capsys.readouterr().err
    assert len(list((repository / "checkpoints").iterdir())) == 1


def test_invalid_ledger_is_reported_before_training(repository):
    (repository / "docs").mkdir()
    (repository / "docs" / "runs.jsonl").write_text("not a run\n")
    with pytest.raises(LedgerError, match="restore the file from git"):
        retrain(ask(repository), stopped=lambda: False)
