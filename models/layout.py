"""What a version's folder holds, <name>/<version>/, and how closely whoever runs it must agree with PyTorch."""

MODEL_FILE = "model.onnx"
INT8_MODEL_FILE = "model.int8.onnx"  # the same function in 8 bits for the CPU, where it lost no accuracy
GOLDEN_FILE = "golden.npz"  # `images` as the model takes them, and the `probabilities` (N, K) that PyTorch gave
INT8_GOLDEN_FILE = "golden.int8.npz"  # likewise, with what the int8 graph itself gave where it was made
GOLDEN_TOLERANCE = {"cpu": 1e-4, "cuda": 1e-3}  # largest |dp|; TF32 and other orders of summation cost the GPU a digit
