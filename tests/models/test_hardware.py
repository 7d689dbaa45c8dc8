"""Number of usable CPU cores."""

import pytest

from models.hardware import available_cores


@pytest.mark.parametrize(
    ("content", "cores"),
    [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("900000000 100000", None)],
)
def test_available_cores_are_limited_by_the_container_quota(tmp_path, content, cores):
    path = tmp_path / "cpu.max"
    path.write_text(content)
    without_quota = available_cores(tmp_path / "none")
    assert available_cores(path) == (cores or without_quota)
