"""The inference service: bytes to picture, picture to pixels, pixels to batch, batch to class probabilities."""

__version__ = "0.1.0"  # as in pyproject.toml, which a Bento does not have
