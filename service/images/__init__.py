"""Image decoding, with limits on files that are expensive to decode."""
