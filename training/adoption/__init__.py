"""Adoption of classifiers from other projects: an ONNX file to a published version."""
