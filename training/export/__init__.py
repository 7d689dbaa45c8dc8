"""From a network to ONNX files: folding, calibration, familiarity, lower precisions."""
