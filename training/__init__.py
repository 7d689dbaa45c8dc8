"""Trains the classifiers in models/, from data set to published version; the only package that knows torch."""
