"""The ONNX file of another project: parsed, opened in ONNX Runtime, and checked for one input and one output."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from training.errors import TrainingError
from training.onnx_session import open_session

Shape = tuple[int | None, ...]  # None: any

QUANTIZED = {"QuantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger", "DynamicQuantizeLinear"}
DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class AdoptionError(TrainingError):
    """A file cannot be adopted."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A classifier of another project."""

    path: Path
    sha256: str
    model: onnx.ModelProto  # with its external data
    session: ort.InferenceSession
    input_name: str
    input_dtype: Literal["float32", "float16", "uint8"]
    input_shape: Shape  # with the batch axis
    output_name: str
    output_shape: Shape  # (batch, classes)

    @property
    def batch(self) -> int | None:
        """The fixed batch size, None if any is allowed."""
        return self.input_shape[0]

    def run(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Compute the output of prepared inputs one after another: (N, ...) -> (N, K)."""
        rows = []
        for image in inputs:
            batch = np.repeat(image[None], self.batch or 1, axis=0)
            try:
                (output,) = self.session.run([self.output_name], {self.input_name: batch})
            except Exception as error:  # onnxruntime's exceptions share no other base class
                raise AdoptionError(f"{self.path.name}: ONNX Runtime cannot run it: {_first_line(error)}") from error
            if output.ndim != 2 or output.shape[1] < 2:
                raise AdoptionError(_no_classification(self.path, self.output_name, output.shape))
            rows.append(output[0].astype(np.float32))
        return np.stack(rows)


def read_source(path: Path, *, output_name: str | None = None) -> Source:
    """Read an ONNX file.

    Args:
        path: of the file; external data lies next to it.
        output_name: of a graph with several outputs.

    Raises:
        AdoptionError: the file is unreadable, ONNX Runtime lacks an operator, or it is no classifier of images.
    """
    model = _parse(path)
    try:
        session = open_session(path, silent=True)
    except Exception as error:  # onnxruntime's exceptions share no other base class
        raise AdoptionError(
            f"{path.name}: ONNX Runtime {ort.__version__} cannot load it: {_first_line(error)}; export it with "
            "operators and an opset that this version has"
        ) from error
    if quantized := {node.op_type for node in model.graph.node} & QUANTIZED:
        raise AdoptionError(
            f"{path.name} is quantized ({', '.join(sorted(quantized))}), so its results may differ between processors; "
            "adopt the file that it was made from"
        )
    image = _only_input(path, session)
    output = _choose_output(path, session, output_name)
    shape = _fixed_sides(image.shape)
    if len(shape) not in {3, 4}:
        raise AdoptionError(
            f"{path.name}: expected an input of images with a batch axis, (N, C, H, W), (N, H, W, C) or (N, H, W), "
            f"got {image.name} {_describe(image.shape)}"
        )
    output_shape = _fixed_sides(output.shape)
    if len(output_shape) == 1:
        raise AdoptionError(
            f"{path.name}: its output {output.name} {_describe(output.shape)} has no batch axis; export the network "
            "for a batch of images"
        )
    if len(output_shape) != 2 or output_shape[1] == 1:
        raise AdoptionError(_no_classification(path, output.name, output.shape))
    return Source(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        model=model,
        session=session,
        input_name=image.name,
        input_dtype=np.dtype(DTYPES[image.type]).name,  # type: ignore[arg-type]
        input_shape=shape,
        output_name=output.name,
        output_shape=output_shape,
    )


def _parse(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise AdoptionError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # the parser's exceptions share no other base class
        raise AdoptionError(f"{path.name} is not an ONNX file; export the network with torch.onnx.export") from error
    if not model.graph.node or not model.opset_import:
        raise AdoptionError(f"{path.name} is not an ONNX file; export the network with torch.onnx.export")
    for tensor in model.graph.initializer:
        locations = [entry.value for entry in tensor.external_data if entry.key == "location"]
        if tensor.data_location == onnx.TensorProto.EXTERNAL and not (path.parent / "".join(locations)).is_file():
            raise AdoptionError(
                f"{path.name} keeps weights in {''.join(locations)}, which is missing; copy it next to {path.name}"
            )
    try:
        return onnx.load(path)
    except Exception as error:
        raise AdoptionError(f"{path.name}: cannot read its external data: {_first_line(error)}") from error


def _only_input(path: Path, session: ort.InferenceSession) -> ort.NodeArg:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs)
        raise AdoptionError(f"{path.name}: expected one input, got {len(inputs)}: {names}")
    if inputs[0].type not in DTYPES:
        known = ", ".join(np.dtype(dtype).name for dtype in DTYPES.values())
        raise AdoptionError(f"{path.name}: expected an input of type {known}, got {inputs[0].type}")
    return inputs[0]


def _choose_output(path: Path, session: ort.InferenceSession, name: str | None) -> ort.NodeArg:
    outputs = {node.name: node for node in session.get_outputs()}
    if name is None and len(outputs) == 1:
        return next(iter(outputs.values()))
    if name not in outputs:
        found = f"got {name!r}" if name else "it has several outputs"
        raise AdoptionError(f"{path.name}: {found}; --output-name is one of: {', '.join(outputs)}")
    return outputs[name]


def _fixed_sides(shape: Sequence[int | str | None]) -> Shape:
    return tuple(side if isinstance(side, int) else None for side in shape)


def _no_classification(path: Path, name: str, shape: Sequence[Any]) -> str:
    return (
        f"{path.name}: expected an output with a number per class, (N, K) with K of 2 or more, got {name} "
        f"{_describe(shape)}"
    )


def _describe(shape: Sequence[Any]) -> str:
    return f"({', '.join(str(side) for side in shape)})"


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
