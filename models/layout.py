"""What a version's folder holds, <name>/<version>/, and how closely whoever runs it must agree with PyTorch."""

MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.npz"  # `images` as the model takes them, and the `probabilities` (N, K) that PyTorch gave
GOLDEN_TOLERANCE = {"cpu": 1e-4, "cuda": 1e-3}  # largest |dp|; TF32 and other orders of summation cost the GPU a digit
