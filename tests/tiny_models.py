"""Model folders for tests: a linear layer with random weights, in files that keep the whole contract."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.card import Metrics, ModelCard

DIGITS = tuple("0123456789")
ANIMALS = ("ant", "bee", "cat")


def write_model(
    folder: Path,
    name: str,
    *,
    version: str = "1",
    image_shape: tuple[int, ...] = (28, 28),
    preparation: str = "digit",
    class_names: tuple[str, ...] = DIGITS,
    seed: int = 0,
) -> Path:
    """Write ``folder``/<name>/<version>/ and return it."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.001, (int(np.prod(image_shape)), len(class_names))).astype(np.float32)
    model = _linear_softmax(weights, image_shape)
    card = ModelCard(
        name=name,
        version=version,
        class_names=class_names,
        preparation=preparation,
        test=Metrics(accuracy=0.5, nll=1.0, ece=0.1, num_images=10),
        temperature=1.0,
        seed=seed,
        parameters=weights.size,
        multiply_adds=weights.size,
        date="2026-11-22T00:00:00+00:00",
        git_commit="",
    )
    helper.set_model_props(model, card.to_metadata())
    path = folder / name / version
    path.mkdir(parents=True)
    onnx.save(model, path / "model.onnx")
    images = rng.integers(0, 256, (4, *image_shape), dtype=np.uint8)
    logits = images.reshape(4, -1).astype(np.float32) @ weights
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.savez(path / "golden.npz", images=images, probabilities=odds / odds.sum(axis=1, keepdims=True))
    return path


def _linear_softmax(weights: np.ndarray, image_shape: tuple[int, ...]) -> onnx.ModelProto:
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", weights.shape[1]])
        for name in ("probabilities", "logits")
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["pixels"]),
            helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["floats", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", *image_shape])],
        outputs,
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
