"""Tables of the predictions for a folder."""

import os
import shutil

import pytest
from PIL import Image
from pyarrow import parquet
from support.interrupted_model import InterruptedModel
from support.paths import IMAGES
from support.tables import read_rows

from service.cli.prediction_table import ScoringError
from service.cli.score import score


def test_csv_has_one_row_per_image(folder, tmp_path, mnist):
    score(folder, tmp_path / "table.csv", mnist)
    rows = {row["path"]: row for row in read_rows(tmp_path / "table.csv")}
    assert len(rows) == 11
    assert [rows[f"{'more/' if digit % 2 else ''}{digit}.PNG"]["label"] for digit in range(10)] == list("0123456789")
    for path, row in rows.items():
        probabilities = [float(row[f"probability_{digit}"] or 0) for digit in range(10)]
        assert sum(probabilities) == pytest.approx(0 if path == "broken.png" else 1, abs=1e-4)
    assert (rows["broken.png"]["label"], rows["broken.png"]["familiar"]) == ("", "")


def test_parquet_has_one_row_per_image(folder, tmp_path, mnist):
    score(folder, tmp_path / "table.parquet", mnist)
    table = parquet.read_table(tmp_path / "table.parquet").to_pylist()
    assert {row["path"]: row["label"] for row in table} == {
        "broken.png": None,
        **{f"{'more/' if digit % 2 else ''}{digit}.PNG": str(digit) for digit in range(10)},
    }
    assert isinstance(table[0]["probability_3"], float)
    assert {row["familiar"] for row in table} >= {True, None}
    assert not (tmp_path / "table.parquet.partial").exists()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_file_may_have_any_name(tmp_path, mnist, suffix):
    (tmp_path / "images").mkdir()
    for name in (b"two\nlines.png", b"latin \xe9.png", 'größe, "5".png'.encode()):
        shutil.copy(IMAGES / "mnist-7.png", os.fsencode(tmp_path / "images") + b"/" + name)
    out = tmp_path / f"table.{suffix}"
    score(tmp_path / "images", out, mnist)
    rows = read_rows(out) if suffix == "csv" else parquet.read_table(out).to_pylist()
    assert {row["path"] for row in rows} == {"two\nlines.png", "latin \ufffd.png", 'größe, "5".png'}
    assert {row["label"] for row in rows} == {"7"}


def test_unreadable_file_is_a_row_with_an_error(folder, tmp_path, mnist):
    model = InterruptedModel(mnist, 99)

    def classify_and_remove(contents):
        (folder / "broken.png").unlink(missing_ok=True)
        return mnist.classify(contents)

    model.classify = classify_and_remove
    result = score(folder, tmp_path / "table.csv", model, batch_size=2)  # broken.png is in the third batch
    assert result.failed == {"broken.png": "No such file or directory"}
    errors = [row["error"] for row in read_rows(tmp_path / "table.csv") if row["error"]]
    assert errors == ["No such file or directory"]


def test_existing_table_is_not_overwritten(folder, tmp_path, mnist):
    (tmp_path / "table.csv").write_text("mine")
    with pytest.raises(ScoringError, match="already exists"):
        score(folder, tmp_path / "table.csv", mnist)
    assert (tmp_path / "table.csv").read_text() == "mine"


def test_folder_without_images_is_an_error(tmp_path, mnist):
    with pytest.raises(ScoringError, match="has an image suffix"):
        score(tmp_path, tmp_path / "table.csv", mnist)


def test_files_with_other_suffixes_are_listed_as_skipped(folder, tmp_path, mnist):
    (folder / "more" / "README").write_text("no image")
    assert score(folder, tmp_path / "table.csv", mnist).skipped == ["more/README", "notes.txt"]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG"])
def test_every_suffix_of_a_jpeg_is_classified(tmp_path, mnist, suffix):
    with Image.open(IMAGES / "mnist-7.png") as image:
        image.save(tmp_path / "seven", "JPEG", quality=95)
    (tmp_path / "seven").rename(tmp_path / f"seven{suffix}")
    score(tmp_path, tmp_path / "table.csv", mnist)
    assert [row["label"] for row in read_rows(tmp_path / "table.csv")] == ["7"]


@pytest.mark.parametrize("suffix", [".avif", ".heic", ".heif", ".hif"])
def test_phone_pictures_are_not_passed_over(tmp_path, mnist, suffix):
    (tmp_path / f"picture{suffix}").write_bytes(b"damaged")
    assert score(tmp_path, tmp_path / "table.csv", mnist).failed.keys() == {f"picture{suffix}"}


@pytest.mark.parametrize("beginning", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_csv_has_no_formulas(tmp_path, mnist, beginning):
    (tmp_path / "images").mkdir()
    shutil.copy(IMAGES / "mnist-7.png", tmp_path / "images" / f"{beginning}.png")
    score(tmp_path / "images", tmp_path / "table.csv", mnist)
    assert [row["path"] for row in read_rows(tmp_path / "table.csv")] == [f"'{beginning}.png"]


def test_csv_begins_with_a_byte_order_mark(folder, tmp_path, mnist):
    score(folder, tmp_path / "table.csv", mnist)
    assert (tmp_path / "table.csv").read_bytes().startswith(b"\xef\xbb\xbfpath,model,")
