"""The inference service: bytes to picture, picture to pixels, pixels to batch, batch to class probabilities."""
