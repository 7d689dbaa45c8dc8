"""The servers that ours is measured against, each as its own documentation writes it, on our own ONNX file."""
