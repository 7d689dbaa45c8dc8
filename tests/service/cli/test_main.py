"""The commands: exit codes, messages and options."""

import json
import subprocess
import sys
import tomllib

import pytest
from support.paths import IMAGES, ROOT
from support.tables import read_rows

from service.__main__ import main

SEVEN = IMAGES / "mnist-7.png"


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("CLASSIFIER_DEVICE", "cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", SEVEN, "--model", "unknown"], "no model 'unknown'"),
        (["classify", SEVEN, "--url", "http://127.0.0.1:9"], "cannot reach"),
        (["classify", SEVEN, "--url", "ftp://localhost"], "expected an address such as"),
        (["score", "nowhere", "--out", "table.csv"], "nowhere is not a folder"),
        (["score", "tests", "--out", "table.xlsx"], "ends in .csv or .parquet"),
        (["score", "service", "--out", "/nowhere/table.csv"], "table.csv"),
    ],
)
def test_error_is_one_line(capsys, arguments, message):
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("Error: ")
    assert printed.count("\n") == 1


@pytest.mark.parametrize(("names", "code"), [([SEVEN], 0), ([SEVEN, "nothing.png"], 1), (["nothing.png", "tests"], 1)])
def test_exit_code_is_1_when_an_image_fails(capsys, names, code):
    assert main(["classify", *map(str, names)]) == code
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["label" in row for row in rows] == [name == SEVEN for name in names]
    assert ["detail" in row for row in rows] == [name != SEVEN for name in names]


def test_score_lists_failed_files_and_returns_1(capsys, folder, tmp_path):
    out = tmp_path / "table.csv"
    assert main(["score", str(folder), "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "broken.png: the PNG cannot be decoded" in printed.err
    assert "11 images; 1 could not be classified" in printed.out
    assert len(read_rows(out)) == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "table.csv"]


def test_score_lists_the_first_skipped_files(capsys, folder, tmp_path):
    for number in range(30):
        (folder / f"{number:02}.txt").touch()
    main(["score", str(folder), "--out", str(tmp_path / "table.csv")])
    printed = capsys.readouterr().err
    assert "skipped 19.txt: no image suffix" in printed
    assert "notes.txt" not in printed
    assert "skipped 11 more files without an image suffix" in printed


def test_commands_import_without_posix_modules():
    script = """
import asyncio, multiprocessing, subprocess, sys  # they use these modules on this system
sys.modules |= dict.fromkeys(["fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty", "uvloop"])
from service.__main__ import make_parser
print(make_parser().format_usage())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False, text=True)
    assert done.stdout.startswith("usage: "), done.stderr


def test_score_returns_0_when_all_are_classified(folder, tmp_path):
    (folder / "broken.png").unlink()
    assert main(["score", str(folder), "--out", str(tmp_path / "table.csv")]) == 0


@pytest.mark.parametrize("command", ["classify", "score"])
def test_help_explains_the_exit_codes(capsys, command):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "1 some images could not be classified" in capsys.readouterr().out


def test_top_is_applied(capsys):
    assert main(["classify", str(SEVEN), "--top", "2"]) == 0
    probabilities = json.loads(capsys.readouterr().out)["probabilities"]
    assert (len(probabilities), next(iter(probabilities))) == (2, "7")


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_top_must_be_positive(capsys, number):
    with pytest.raises(SystemExit):
        main(["classify", str(SEVEN), f"--top={number}"])
    assert f"argument --top: expected a whole number of at least 1, got '{number}'" in capsys.readouterr().err


def test_version_is_that_of_the_project(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"{project['name']} {project['version']}\n"
