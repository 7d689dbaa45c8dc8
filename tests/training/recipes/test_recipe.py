"""Recipes: unsupported combinations of settings are rejected."""

from dataclasses import asdict

import pytest

from training.recipes.recipe import MNIST_RECIPES, Recipe, recipe_from_settings


def test_outlier_exposure_needs_a_teacher_and_whole_batches():
    assert Recipe(epochs=1, outlier_exposure=True, teacher="mnist-resnet/1").outlier_exposure
    with pytest.raises(ValueError, match="expected a teacher"):
        Recipe(epochs=1, outlier_exposure=True)
    with pytest.raises(ValueError, match=r"expected hardest=1\.0, got 0\.5"):
        Recipe(epochs=1, outlier_exposure=True, teacher="mnist-resnet/1", hardest=0.5)


@pytest.mark.parametrize("settings", [{"activation": "gelu"}, {"label_smoothing": 0.1}])
def test_strength_discount_needs_relu_and_no_label_smoothing(settings):
    assert Recipe(epochs=1, strength_discount=0.25).strength_discount
    with pytest.raises(ValueError, match="expected relu and label_smoothing=0"):
        Recipe(epochs=1, strength_discount=0.25, **settings)


@pytest.mark.parametrize("recipe", MNIST_RECIPES.values())
def test_recipe_from_settings_restores_a_recipe(recipe):
    assert recipe_from_settings({"name": "published", **asdict(recipe)}) == recipe
