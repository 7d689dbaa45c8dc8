"""ONNX Runtime sessions, devices and the serving plan of each model."""
