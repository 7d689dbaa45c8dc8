"""Recipes: all settings of training runs, as data."""
