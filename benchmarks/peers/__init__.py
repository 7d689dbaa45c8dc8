"""Servers for comparison, after their documentation, with the same ONNX file."""
