"""Conversion of a decoded picture to the pixels that a model takes."""
