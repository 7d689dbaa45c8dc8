"""Resumption of an interrupted table."""

import shutil

import pytest
from support.interrupted_model import InterruptedModel
from support.tables import read_rows

from service.cli.prediction_table import ScoringError
from service.cli.score import score


def interrupt(folder, out, model, *, batches):
    """Classify ``batches`` batches of 4 files."""
    with pytest.raises(KeyboardInterrupt):
        score(folder, out, InterruptedModel(model, batches), batch_size=4)


def test_interrupted_run_is_resumed(folder, tmp_path, mnist):
    out, partial = tmp_path / "table.csv", tmp_path / "table.csv.partial"
    interrupt(folder, out, mnist, batches=2)
    assert not out.exists()
    with partial.open("a") as file:
        file.write("a row that was not fin")
    second = InterruptedModel(mnist, 9)
    result = score(folder, out, second)
    assert (result.images, result.earlier, second.classified) == (11, 8, 3)
    assert list(result.failed) == ["broken.png"]  # found by the first run
    rows = read_rows(out)
    assert len({row["path"] for row in rows}) == len(rows) == 11
    assert all(row["probability_3"] for row in rows if not row["error"])
    assert not partial.exists()


def test_rows_of_another_model_are_not_resumed(folder, tmp_path, mnist):
    interrupt(folder, tmp_path / "other.csv", mnist, batches=1)
    other = InterruptedModel(mnist, 0)
    other.version = "another"
    with pytest.raises(ScoringError, match=rf"images mnist {mnist.version}, not to .*images mnist another; remove it"):
        score(folder, tmp_path / "other.csv", other)


def test_rows_of_another_folder_are_not_resumed(folder, tmp_path, mnist):
    interrupt(folder, tmp_path / "table.csv", mnist, batches=1)
    shutil.copytree(folder, tmp_path / "others")
    with pytest.raises(ScoringError, match=rf"images {mnist.name} {mnist.version}, not to .*others .*; remove it"):
        score(tmp_path / "others", tmp_path / "table.csv", mnist)


@pytest.mark.parametrize("content", ["path,label\n", "[1]\n", "mine"])
def test_foreign_partial_file_is_not_changed(folder, tmp_path, mnist, content):
    (tmp_path / "table.csv.partial").write_text(content)
    with pytest.raises(ScoringError, match="is not a partial table"):
        score(folder, tmp_path / "table.csv", mnist)
    assert (tmp_path / "table.csv.partial").read_text() == content


def test_empty_partial_file_starts_a_new_run(folder, tmp_path, mnist):
    (tmp_path / "table.csv.partial").touch()
    assert score(folder, tmp_path / "table.csv", mnist).images == 11


def test_second_run_on_the_same_table_is_an_error(folder, tmp_path, mnist):
    out, first = tmp_path / "table.csv", InterruptedModel(mnist, 9)

    def begin_another(contents):
        with pytest.raises(ScoringError, match="another run is writing"):
            score(folder, out, mnist)
        return mnist.classify(contents)

    first.classify = begin_another
    assert score(folder, out, first, batch_size=4).images == len(read_rows(out)) == 11


def test_rows_are_kept_when_the_table_cannot_be_written(folder, tmp_path, mnist):
    obstacle = tmp_path / "table.csv.unfinished"
    obstacle.mkdir()
    with pytest.raises(IsADirectoryError):
        score(folder, tmp_path / "table.csv", mnist)
    assert not (tmp_path / "table.csv").exists()
    obstacle.rmdir()
    result = score(folder, tmp_path / "table.csv", InterruptedModel(mnist, 0))
    assert (result.images, result.earlier) == (11, 11)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "table.csv"]
