"""Command line: ``python -m service``."""

import csv
import json
import os
import pty
import shutil
import subprocess
import sys
from contextlib import closing

import pytest
from pyarrow import parquet
from support.paths import IMAGES, ROOT
from support.served import environment

from service.__main__ import main
from service.cli import prediction_table
from service.cli.local_model import LocalModel
from service.cli.prediction_table import ScoringError
from service.cli.score import score
from service.settings import Settings

SEVEN, SHIP = IMAGES / "mnist-7.png", IMAGES / "cifar10-ship.png"


@pytest.fixture(scope="module")
def model():
    with closing(LocalModel(Settings(device="cpu", precision="float32"), "mnist")) as model:
        yield model


@pytest.fixture
def folder(tmp_path):
    """Ten digits in two folders, a damaged file and a text file."""
    (tmp_path / "images" / "more").mkdir(parents=True)
    for digit in range(10):
        shutil.copy(
            IMAGES / f"mnist-{digit}.png", tmp_path / "images" / ("more" if digit % 2 else ".") / f"{digit}.PNG"
        )
    (tmp_path / "images" / "broken.png").write_bytes(SEVEN.read_bytes()[:200])
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def run(*arguments, **settings):
    return subprocess.run(
        [sys.executable, "-m", "service", *map(str, arguments)],
        cwd=ROOT,
        env=environment(**{"device": "cpu"} | settings),
        capture_output=True,
        text=True,
        check=False,
    )


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_classify_prints_one_json_line_per_image_to_a_pipe():
    done = run("classify", SEVEN, IMAGES / "mnist-3.png")
    predictions = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [(prediction["image"], prediction["label"]) for prediction in predictions] == [
        (str(SEVEN), "7"),
        (str(IMAGES / "mnist-3.png"), "3"),
    ]
    assert {"model", "version", "confidence", "probabilities", "familiarity", "familiar"} <= predictions[0].keys()


def test_classify_reads_an_image_from_a_pipe():
    command = [sys.executable, "-m", "service", "classify", "/dev/stdin"]
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


def test_table_shows_the_results_before_an_interrupt(model, monkeypatch, capsys):
    monkeypatch.setattr("service.cli.score.BATCH", 1)
    monkeypatch.setattr("service.__main__._open", lambda _options: closing_model(Interrupted(model, 1)))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["classify", str(SEVEN), str(SHIP)]) == 130
    shown = capsys.readouterr()
    assert "7 100.0%" in shown.out
    assert "interrupted" in shown.err


def closing_model(model):
    model.close = lambda: None
    return model


def test_classify_prints_a_table_to_a_terminal():
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "service", "classify", str(SEVEN), str(ROOT / "README.md")]
    environ = environment(device="cpu") | {"COLUMNS": "120"}
    done = subprocess.run(command, cwd=ROOT, env=environ, stdout=writer, check=False)
    os.close(writer)
    printed = b""
    while chunk := read_terminal(reader):
        printed += chunk
    os.close(reader)
    assert done.returncode == 1  # README.md is not an image
    assert "mnist-7.png" in printed.decode()
    assert "7 100.0%" in printed.decode()
    assert "unknown image format" in printed.decode()


def read_terminal(reader):
    try:
        return os.read(reader, 65536)
    except OSError:  # the writer is closed
        return b""


def test_server_and_local_model_predict_the_same(url, capsys):
    assert main(["classify", str(SHIP), str(SEVEN), "--model", "cifar10"]) == 0
    assert main(["classify", str(SHIP), str(SEVEN), "--model", "cifar10", "--url", url]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for here, there in zip(lines[:2], lines[2:], strict=True):
        assert here["label"] == there["label"]
        assert here["confidence"] == pytest.approx(there["confidence"], abs=0.02)  # the server may use int8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", SEVEN, "--model", "unknown"], "no model 'unknown'"),
        (["classify", SEVEN, "nothing.png"], "no such file: nothing.png"),
        (["classify", SEVEN, "--url", "http://127.0.0.1:9"], "cannot reach"),
        (["classify", SEVEN, "--url", "http://localhost:abc"], "expected an address such as"),
        (["score", "nowhere", "--out", "table.csv"], "nowhere is not a folder"),
        (["score", "tests", "--out", "table.xlsx"], "ends in .csv or .parquet"),
        (["score", "service", "--out", "/nowhere/table.csv"], "table.csv"),
    ],
)
def test_error_is_one_line(capsys, arguments, message):
    assert main([str(argument) for argument in arguments]) == 2
    assert message in capsys.readouterr().err


def test_model_unknown_to_the_server_is_an_error(url, capsys):
    assert main(["classify", str(SEVEN), "--url", url, "--model", "unknown"]) == 2
    assert "no model 'unknown', expected one of" in capsys.readouterr().err


def test_error_names_the_invalid_setting():
    done = run("classify", SEVEN, device="toaster")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: CLASSIFIER_DEVICE=toaster")


@pytest.mark.parametrize("remote", [False, True])
def test_score_writes_one_row_per_image(folder, tmp_path, capsys, url, remote):
    out = tmp_path / "table.csv"
    assert main(["score", str(folder), "--out", str(out), *(["--url", url] if remote else [])]) == 0
    rows = {row["path"]: row for row in rows_of(out)}
    assert len(rows) == 11
    assert [rows[f"{'more/' if digit % 2 else ''}{digit}.PNG"]["label"] for digit in range(10)] == list("0123456789")
    for path, row in rows.items():
        probabilities = [float(row[f"probability of {digit}"] or 0) for digit in range(10)]
        assert sum(probabilities) == pytest.approx(0 if path == "broken.png" else 1, abs=1e-4)
    assert (rows["broken.png"]["label"], rows["broken.png"]["familiar"]) == ("", "")
    printed = capsys.readouterr()
    assert "broken.png: the PNG cannot be decoded" in printed.err
    assert "11 images; 1 could not be classified" in printed.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "table.csv"]


def test_score_writes_parquet(folder, tmp_path, model):
    score(folder, tmp_path / "table.parquet", model)
    table = parquet.read_table(tmp_path / "table.parquet").to_pylist()
    assert {row["path"]: row["label"] for row in table} == {
        "broken.png": None,
        **{f"{'more/' if digit % 2 else ''}{digit}.PNG": str(digit) for digit in range(10)},
    }
    assert isinstance(table[0]["probability of 3"], float)
    assert {row["familiar"] for row in table} >= {True, None}
    assert not (tmp_path / "table.parquet.partial").exists()


class Interrupted:
    """Model that is interrupted after ``batches`` batches."""

    def __init__(self, model, batches):
        self.name, self.version, self.class_names = model.name, model.version, model.class_names
        self.model, self.remaining, self.classified = model, batches, 0

    def classify(self, contents):
        if not self.remaining:
            raise KeyboardInterrupt
        self.remaining -= 1
        self.classified += len(contents)
        return self.model.classify(contents)


def test_interrupted_run_is_resumed(folder, tmp_path, model, monkeypatch):
    monkeypatch.setattr("service.cli.score.BATCH", 4)
    out = tmp_path / "table.csv"
    with pytest.raises(KeyboardInterrupt):
        score(folder, out, Interrupted(model, 2))
    assert not out.exists()
    partial = tmp_path / "table.csv.partial"
    with partial.open("a") as file:
        file.write("a row that was not fin")
    second = Interrupted(model, 9)
    scored = score(folder, out, second)
    assert (scored.images, scored.earlier, second.classified) == (11, 8, 3)
    assert list(scored.failed) == ["broken.png"]  # found by the first run
    assert len({row["path"] for row in rows_of(out)}) == len(rows_of(out)) == 11
    assert not partial.exists()


def test_rows_of_another_model_are_not_resumed(folder, tmp_path, model, monkeypatch):
    monkeypatch.setattr("service.cli.score.BATCH", 4)
    with pytest.raises(KeyboardInterrupt):
        score(folder, tmp_path / "other.csv", Interrupted(model, 1))
    other = Interrupted(model, 0)
    other.version = "another"
    with pytest.raises(ScoringError, match=rf"images mnist {model.version}, not to .*images mnist another; remove it"):
        score(folder, tmp_path / "other.csv", other)


def test_rows_of_another_folder_are_not_resumed(folder, tmp_path, model, monkeypatch):
    monkeypatch.setattr("service.cli.score.BATCH", 4)
    with pytest.raises(KeyboardInterrupt):
        score(folder, tmp_path / "table.csv", Interrupted(model, 1))
    shutil.copytree(folder, tmp_path / "others")
    with pytest.raises(ScoringError, match=rf"images {model.name} {model.version}, not to .*others .*; remove it"):
        score(tmp_path / "others", tmp_path / "table.csv", model)


@pytest.mark.parametrize("content", ["path,label\n", "[1]\n", "mine"])
def test_foreign_partial_file_is_not_changed(folder, tmp_path, model, content):
    (tmp_path / "table.csv.partial").write_text(content)
    with pytest.raises(ScoringError, match="is not a partial table"):
        score(folder, tmp_path / "table.csv", model)
    assert (tmp_path / "table.csv.partial").read_text() == content


def test_empty_partial_file_starts_a_new_run(folder, tmp_path, model):
    (tmp_path / "table.csv.partial").touch()
    assert score(folder, tmp_path / "table.csv", model).images == 11


def test_second_run_on_the_same_table_is_an_error(folder, tmp_path, model, monkeypatch):
    monkeypatch.setattr("service.cli.score.BATCH", 4)
    out, first = tmp_path / "table.csv", Interrupted(model, 9)

    def begin_another(contents):
        with pytest.raises(ScoringError, match="another run is writing"):
            score(folder, out, model)
        return model.classify(contents)

    first.classify = begin_another
    assert score(folder, out, first).images == len(rows_of(out)) == 11


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_file_may_have_any_name(tmp_path, model, suffix):
    (tmp_path / "images").mkdir()
    for name in (b"two\nlines.png", b"latin \xe9.png", 'größe, "5".png'.encode()):
        shutil.copy(SEVEN, os.fsencode(tmp_path / "images") + b"/" + name)
    out = tmp_path / f"table.{suffix}"
    score(tmp_path / "images", out, model)
    rows = rows_of(out) if suffix == "csv" else parquet.read_table(out).to_pylist()
    assert {row["path"] for row in rows} == {"two\nlines.png", "latin \ufffd.png", 'größe, "5".png'}
    assert {row["label"] for row in rows} == {"7"}


def test_rows_are_kept_when_the_table_cannot_be_written(folder, tmp_path, model, monkeypatch):
    def fail(path, _rows, _class_names):
        path.write_text("half")
        raise OSError("no space left")

    monkeypatch.setitem(prediction_table.WRITERS, ".csv", fail)
    with pytest.raises(OSError, match="no space left"):
        score(folder, tmp_path / "table.csv", model)
    assert not (tmp_path / "table.csv").exists()
    monkeypatch.undo()
    scored = score(folder, tmp_path / "table.csv", Interrupted(model, 0))
    assert (scored.images, scored.earlier) == (11, 11)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "table.csv"]


def test_unreadable_file_is_a_row_with_an_error(folder, tmp_path, model, monkeypatch):
    def read(path):
        return OSError("no permission") if path.name == "broken.png" else path.read_bytes()

    monkeypatch.setattr("service.cli.score._read", read)
    scored = score(folder, tmp_path / "table.csv", model)
    assert scored.failed == {"broken.png": "no permission"}
    assert [row["error"] for row in rows_of(tmp_path / "table.csv") if row["error"]] == ["no permission"]


def test_existing_table_is_not_overwritten(folder, tmp_path, model):
    (tmp_path / "table.csv").write_text("mine")
    with pytest.raises(ScoringError, match="already exists"):
        score(folder, tmp_path / "table.csv", model)
    assert (tmp_path / "table.csv").read_text() == "mine"


def test_folder_without_images_is_an_error(tmp_path, model):
    with pytest.raises(ScoringError, match="has an image suffix"):
        score(tmp_path, tmp_path / "table.csv", model)
