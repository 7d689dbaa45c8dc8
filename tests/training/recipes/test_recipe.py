"""Recipes: what cannot be done is refused, not left out."""

from dataclasses import asdict

import pytest

from training.recipes.recipe import MNIST_RECIPES, Recipe, read_recipe


def test_outliers_need_a_teacher_and_all_images_of_a_batch():
    assert Recipe(epochs=1, outlier_exposure=True, teacher="mnist-resnet/1").outlier_exposure
    with pytest.raises(ValueError, match="expected a teacher"):
        Recipe(epochs=1, outlier_exposure=True)
    with pytest.raises(ValueError, match=r"expected hardest=1\.0, got 0\.5"):
        Recipe(epochs=1, outlier_exposure=True, teacher="mnist-resnet/1", hardest=0.5)


@pytest.mark.parametrize("settings", [{"activation": "gelu"}, {"label_smoothing": 0.1}])
def test_logits_are_discounted_where_familiarity_asks_them_and_strength_is_known(settings):
    assert Recipe(epochs=1, strength_discount=0.25).strength_discount
    with pytest.raises(ValueError, match="expected relu and no label smoothing"):
        Recipe(epochs=1, strength_discount=0.25, **settings)


@pytest.mark.parametrize("recipe", MNIST_RECIPES.values())
def test_a_recipe_is_read_back_from_its_settings(recipe):
    assert read_recipe({"name": "published", **asdict(recipe)}) == recipe
