"""Measurements of an exported version on images unlike the test images, and the quality gate."""
