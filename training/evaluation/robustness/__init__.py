"""Robustness: accuracy and familiarity on pictures unlike the test split."""
