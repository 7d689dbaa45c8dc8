"""Export to ONNX: folding, calibration, familiarity, lower precisions."""
