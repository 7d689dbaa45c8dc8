"""Counts in messages."""

import pytest

from training.plurals import describe_count


@pytest.mark.parametrize(("count", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1000, "1,000 images")])
def test_count_has_the_singular_only_for_1(count, text):
    assert describe_count(count, "image") == text
