"""Tests of benchmarks/corruptions.py on the committed samples."""

from PIL import Image
from support.paths import DATA, ROOT

from benchmarks.corruptions import main
from training.evaluation.robustness.corrupted_images import NOISE
from training.reporting.robustness_tables import corruption_header


def test_tables_and_plot_are_written(tmp_path, capsys):
    assert main(["--models", "mnist", "--count", "2", "--data-dir", str(DATA), "--out", str(tmp_path)]) == 0
    text = (tmp_path / "corruptions.md").read_text()
    assert text == capsys.readouterr().out
    assert text.startswith("## mnist, version ")
    assert text.count("\n| ") == 2 + 1 + 15 + 1 + len(NOISE)
    with Image.open(tmp_path / "corruptions.png") as plot:
        assert plot.width > 400


def test_recorded_tables_have_the_rendered_header():
    recorded = (ROOT / "docs" / "corruptions.md").read_text()
    assert recorded.count(corruption_header(["float32", "int8"])) == 2
