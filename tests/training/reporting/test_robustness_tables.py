"""Tests of the robustness sections of the model card."""

import pytest
from support.paths import ROOT

from models.contract import newest_version
from training.evaluation.robustness.measurement import read_robustness
from training.evaluation.robustness.surroundings import CONTROL
from training.recipes.recipe import MNIST_RECIPES
from training.recipes.zoo import ZOO
from training.reporting.robustness_tables import describe_robustness


def published(name):
    return read_robustness(newest_version(ROOT / "models" / name))


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_card_has_every_measurement_of_every_graph(name):
    robustness = published(name)
    text = describe_robustness(robustness, ZOO[name].recipes["published"])
    for rows in (rows for rows in robustness.kinds()[1:] if not rows[0].kind.endswith(CONTROL)):
        pairs = ((row.accuracy if row.auroc is None else row.auroc, row.familiar_share) for row in rows)
        cells = [rows[0].kind, f"{rows[0].num_images:,}", *(f"{share:.1%}" for pair in pairs for share in pair)]
        assert f"| {' | '.join(cells)} |" in text
    assert f"at commit {robustness.git_commit}" in text


def test_card_describes_the_in_distribution_score():
    texts = [describe_robustness(published("mnist"), MNIST_RECIPES[recipe]) for recipe in ("published", "course")]
    assert "less its linear dependence on the strength of the strokes" in texts[0]
    assert "the largest logit (training/export/familiarity.py)" in texts[1]


def test_card_names_optdigits_only_for_digits():
    assert "UCI optdigits" in describe_robustness(published("mnist"), ZOO["mnist"].recipes["published"])
    assert "UCI optdigits" not in describe_robustness(published("cifar10"), ZOO["cifar10"].recipes["published"])
