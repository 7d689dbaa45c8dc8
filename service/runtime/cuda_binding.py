"""GPU sessions per batch size, with preallocated buffers.

The images are in page-locked memory, the input and outputs in GPU memory.
"""

import ctypes
import logging
import math
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

logger = logging.getLogger("classifier")

_PORTABLE = 1  # cudaHostAllocPortable: page-locked for every GPU

Images = NDArray[np.uint8]


class BatchSessions:
    """One session per batch size, opened when the size is first used.

    Batches are padded to a power of two. With one session for all sizes, cuDNN plans every convolution again whenever
    the batch size changes.
    """

    def __init__(
        self,
        first: ort.InferenceSession,
        open_another: Callable[[], ort.InferenceSession],
        *,
        outputs: Sequence[str],
        device: str,
        gpu: int = 0,
    ) -> None:
        """Keep the first session for the first batch size; see BoundBatch for the other arguments.

        Args:
            first: an open session.
            open_another: opens the session of another batch size.
            outputs: names, in the order in which ``run`` returns them.
            device: ``cuda``, or ``cpu`` for tests.
            gpu: index of the GPU.
        """
        self._first, self._open_another = first, open_another
        self._bind = partial(BoundBatch, outputs=outputs, device=device, gpu=gpu)
        self._batches: dict[int, BoundBatch] = {}

    def run(self, images: Images) -> list[NDArray[Any]]:
        """Return the outputs for a batch: (N, ...) uint8 -> one array (N, ...) per output."""
        size = batch_bucket(len(images))
        if size not in self._batches:
            self._batches[size] = self._bind(self._open_another() if self._batches else self._first, size)
        return self._batches[size].run(images)


def batch_bucket(count: int) -> int:
    """Return the smallest power of two that holds ``count`` images."""
    return 1 << (count - 1).bit_length()


class BoundBatch:
    """A session's input and outputs for batches of one size; one run at a time."""

    def __init__(
        self, session: ort.InferenceSession, size: int, *, outputs: Sequence[str], device: str, gpu: int = 0
    ) -> None:
        """Allocate and bind buffers for ``size`` images.

        Args:
            session: whose input is ``images``, uint8 (N, ...), and whose outputs are float32 (N, ...).
            size: of every batch that runs.
            outputs: names, in the order in which ``run`` returns them.
            device: ``cuda``, or ``cpu`` for tests.
            gpu: index of the GPU.
        """
        self._session, self._binding = session, session.io_binding()
        shape = (size, *session.get_inputs()[0].shape[1:])
        self._images = page_locked(shape) if device == "cuda" else np.zeros(shape, np.uint8)
        self._input = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.uint8, device, gpu)
        self._binding.bind_ortvalue_input("images", self._input)
        shapes = {output.name: (size, *output.shape[1:]) for output in session.get_outputs()}
        self._outputs = [
            ort.OrtValue.ortvalue_from_shape_and_type(shapes[name], np.float32, device, gpu) for name in outputs
        ]
        for name, output in zip(outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, output)

    def run(self, images: Images) -> list[NDArray[Any]]:
        """Return the outputs for at most ``size`` images.

        The rest of the batch keeps old images, and its outputs are discarded.
        """
        self._images[: len(images)] = images
        self._input.update_inplace(self._images)
        self._session.run_with_iobinding(self._binding)
        return [output.numpy()[: len(images)] for output in self._outputs]


def page_locked(shape: Sequence[int], *, load_library: Callable[[str], Any] = ctypes.CDLL) -> Images:
    """Return zeroed page-locked memory.

    If CUDA cannot allocate it, log a warning and return ordinary memory.

    Args:
        shape: of the uint8 array.
        load_library: loads the CUDA runtime, which ONNX Runtime has loaded already.
    """
    count, address = math.prod(shape), ctypes.c_void_p()
    try:
        cuda = load_library(f"libcudart.so.{ort.cuda_version.split('.')[0]}")
        code = cuda.cudaHostAlloc(ctypes.byref(address), ctypes.c_size_t(count), ctypes.c_uint(_PORTABLE))
    except (OSError, AttributeError) as error:  # no CUDA, or another library name on other systems
        code = error
    if code != 0:
        logger.warning("batches are not in page-locked memory, so copying them to the GPU takes longer: %s", code)
        return np.zeros(shape, np.uint8)
    memory = (ctypes.c_uint8 * count).from_address(address.value or 0)
    weakref.finalize(memory, cuda.cudaFreeHost, address).atexit = False  # CUDA may be gone by then
    images: Images = np.ctypeslib.as_array(memory).reshape(shape)  # keeps the memory alive
    images[:] = 0
    return images
