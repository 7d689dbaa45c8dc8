"""Robustness measurements of exported versions, and the quality gate."""
