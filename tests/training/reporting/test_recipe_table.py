"""Tests of the recipe table of the model card."""

from dataclasses import asdict

from training.data.augmentation import Augmentation
from training.recipes.recipe import Recipe
from training.reporting.recipe_table import SOURCES, describe_recipe

RECIPE = Recipe(
    epochs=3, optimizer="sgd", lookahead=True, schedule="triangular", augmentation=Augmentation(elastic=1.4)
)


def test_changed_setting_has_its_value_and_source():
    rows = describe_recipe(RECIPE).splitlines()
    assert "| elastic | 1.4 | Simard et al. 2003 |" in rows
    assert "| lookahead | True | Zhang et al. 2019, with airbench's schedule |" in rows
    assert "| schedule | triangular | Smith and Topin 2018 |" in rows
    assert "| epochs | 3 |  |" in rows


def test_default_is_omitted_and_disabled_setting_has_no_source():
    text = describe_recipe(RECIPE)
    assert "cutout" not in text
    assert "| label_smoothing | 0.0 |  |" in text


def test_every_source_belongs_to_a_setting():
    settings = set(asdict(RECIPE)) | set(asdict(RECIPE.augmentation))
    assert {name.split()[0] for name in SOURCES} <= settings
