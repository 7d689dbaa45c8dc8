"""ONNX Runtime and the machine: sessions, devices, the plan of how each model is served."""
