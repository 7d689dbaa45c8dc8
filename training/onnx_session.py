"""ONNX Runtime sessions of the training side."""

from pathlib import Path

import onnxruntime as ort

CPU_PROVIDER, GPU_PROVIDER = "CPUExecutionProvider", "CUDAExecutionProvider"
GPU_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}  # the default takes up to a second per batch size


def open_session(
    model: Path | bytes, *, threads: int | None = None, on_gpu: bool = False, silent: bool = False
) -> ort.InferenceSession:
    """Open an ONNX file, or its content, on the CPU or the GPU.

    Args:
        model: path or content of the file.
        threads: CPU threads per run, which sleep between runs; None for all cores.
        on_gpu: use the GPU if ONNX Runtime can, else the CPU; see :func:`runs_on_gpu`.
        silent: print no message of ONNX Runtime; failures are exceptions anyway.
    """
    options = ort.SessionOptions()
    if silent:
        options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[str | tuple[str, dict[str, str]]] = [CPU_PROVIDER]
    if on_gpu and GPU_PROVIDER in ort.get_available_providers():
        providers.insert(0, (GPU_PROVIDER, GPU_OPTIONS))
    return ort.InferenceSession(model, options, providers=providers)


def runs_on_gpu(session: ort.InferenceSession) -> bool:
    """Tell whether the session uses the GPU."""
    return bool(session.get_providers()[0] == GPU_PROVIDER)
