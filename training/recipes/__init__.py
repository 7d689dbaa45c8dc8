"""Recipes: every setting of a training run, as data."""
