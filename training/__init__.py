"""Training of the classifiers in models/; the only package that imports torch."""
