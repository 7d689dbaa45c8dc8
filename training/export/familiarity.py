"""Familiarity: a graph output for the similarity of an image to training data."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.contract import FAMILIARITY, FAMILIARITY_DECIMALS, FAMILIARITY_THRESHOLD
from training.data.datasets import Split
from training.export.onnx_file import ExportError, check_onnx, run_onnx

LEVELS = np.concatenate([np.arange(10) / 1000, np.arange(1, 101) / 100])  # values of the output
TREE_DOMAIN = "ai.onnx.ml"  # ONNX domain of the tree operators
_AXIS, _MEANS, _PROJECTIONS = "familiarity_axis", "familiarity_means", "familiarity_reach"
_ONES, _THRESHOLDS, _STEPS = "familiarity_each", "familiarity_thresholds", "familiarity_steps"


def add_familiarity(path: Path, val: Split, *, smoothed: bool) -> None:
    """Add the output ``familiarity``, (N,) float32, to a classifier's file.

    Familiarity is the empirical p-value of an image's in-distribution score: the share of validation images whose score
    is no higher, in steps of 0.01, and of 0.001 below 0.01. One validation image in twenty has less than 0.05.

    The score is the largest logit (Hendrycks et al. 2022), after the subtraction of :mod:`training.export.folding`;
    the energy score (Liu et al. 2020) was no better here and costs more. Label smoothing makes the size of logits
    nearly constant. The score is then the largest projection of the features, which are the input of the last layer,
    on the direction of a class mean: their norm (Park et al. 2023) times the cosine of the angle to that mean. After
    neural collapse (Papyan et al. 2020; Liu and Qin 2025) features of known images lie in these directions.

    Args:
        path: ONNX file with the output ``logits``, float or int8; each gets its own thresholds.
        val: the validation split.
        smoothed: whether the labels were smoothed in training.

    Raises:
        ExportError: the file already has the output, or has no linear layer.
    """
    model = onnx.load(path)
    graph = model.graph
    if FAMILIARITY in {output.name for output in graph.output}:
        raise ExportError(f"{path.name} already has the output {FAMILIARITY}; export the model again")
    images, batch = val.images.cpu().numpy(), graph.input[0].type.tensor_type.shape.dim[0].dim_param
    if smoothed:
        _add_projections(model, _find_features(graph, path), images, val.labels.cpu().numpy())
    score_tensor = _PROJECTIONS if smoothed else "logits"
    scores = _compute_tensor(model, score_tensor, images)  # (N, K); the score is the largest
    thresholds = np.quantile(scores.max(axis=1), LEVELS[1:]).astype(np.float32)
    if any(node.op_type == "QuantizeLinear" for node in graph.node):
        _count_by_trees(model, score_tensor, thresholds, scores.shape[1])
    else:
        _count_by_layer(graph, score_tensor, thresholds)
    graph.output.append(helper.make_tensor_value_info(FAMILIARITY, TensorProto.FLOAT, [batch]))
    onnx.save(model, path)
    check_onnx(path)


def remove_familiarity(model: onnx.ModelProto) -> None:
    """Remove the output ``familiarity`` and what computes it, if the model has it."""
    for part in (model.graph.node, model.graph.output, model.graph.initializer):
        kept = [entry for entry in part if not entry.name.startswith(FAMILIARITY)]
        del part[:]
        part.extend(kept)


def predict_familiarity(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the familiarity of N images: (N, ...) uint8 -> (N,)."""
    (familiarity,) = run_onnx(path, [FAMILIARITY], images)
    return familiarity


def share_familiar(values: NDArray[np.float32]) -> float:
    """Return the fraction of values, (N,), that the service calls familiar, 0..1."""
    return round(float((values.round(FAMILIARITY_DECIMALS) >= FAMILIARITY_THRESHOLD).mean()), 4)


def _count_by_layer(graph: onnx.GraphProto, score_tensor: str, thresholds: NDArray[np.float32]) -> None:
    """Output the level of the highest threshold that the largest score reaches.

    This variant runs on any device.
    """
    _add_constant(graph, _AXIS, np.array([1]))
    _add_constant(graph, _THRESHOLDS, -thresholds)
    _add_constant(graph, _ONES, np.ones((1, len(thresholds)), np.float32))
    _add_constant(graph, _STEPS, np.diff(LEVELS).astype(np.float32))
    largest, above, reached = (f"{FAMILIARITY}_{part}" for part in ("score", "above", "reached"))
    graph.node.extend(  # 1 if the score reaches a threshold, else 0; the layer and its activation run as one kernel
        [
            helper.make_node("ReduceMax", [score_tensor, _AXIS], [largest], name=largest, keepdims=1),
            helper.make_node("Gemm", [largest, _ONES, _THRESHOLDS], [above], name=above),
            helper.make_node("HardSigmoid", [above], [reached], name=reached, alpha=1e6, beta=1.0),
            helper.make_node("MatMul", [reached, _STEPS], [FAMILIARITY], name=FAMILIARITY),
        ]
    )


def _count_by_trees(
    model: onnx.ModelProto, score_tensor: str, thresholds: NDArray[np.float32], num_classes: int
) -> None:
    """Output the same level with two nodes instead of four, for CPUs only.

    The tree operator has no GPU kernel.

    A balanced tree per class counts the thresholds that its score reaches. The largest count is that of the largest
    score.
    """
    graph, counted, shape = model.graph, f"{FAMILIARITY}_counted", f"{FAMILIARITY}_shape"
    branches = _bisect(0, len(thresholds))
    nodes = [(class_id, index, *branch) for class_id in range(num_classes) for index, branch in enumerate(branches)]
    class_ids, indices, steps, thens, elses = zip(*nodes, strict=True)
    is_leaf = [then == 0 for then in thens]
    leaves = [node for node, leaf in zip(nodes, is_leaf, strict=True) if leaf]
    trees = helper.make_node(
        "TreeEnsembleRegressor",
        [score_tensor],
        [counted],
        name=counted,
        domain=TREE_DOMAIN,
        n_targets=1,
        aggregate_function="MAX",
        nodes_treeids=class_ids,
        nodes_nodeids=indices,
        nodes_featureids=class_ids,
        nodes_modes=["LEAF" if leaf else "BRANCH_GTE" for leaf in is_leaf],
        nodes_values=[0.0 if leaf else float(thresholds[step]) for leaf, step in zip(is_leaf, steps, strict=True)],
        nodes_truenodeids=thens,
        nodes_falsenodeids=elses,
        target_treeids=[leaf[0] for leaf in leaves],
        target_nodeids=[leaf[1] for leaf in leaves],
        target_ids=[0] * len(leaves),
        target_weights=[float(LEVELS[leaf[2]]) for leaf in leaves],
    )
    _add_constant(graph, shape, np.array([-1]))
    graph.node.extend([trees, helper.make_node("Reshape", [counted, shape], [FAMILIARITY], name=FAMILIARITY)])
    model.opset_import.append(helper.make_opsetid(TREE_DOMAIN, 3))


def _bisect(low: int, high: int, first: int = 0) -> list[tuple[int, int, int]]:
    """Return the nodes of a tree that counts ``low`` to ``high`` thresholds.

    Nodes are numbered from ``first``.

    A node is (index of the threshold, child if the score reaches it, child if not). A leaf is (count, 0, 0).
    """
    if low == high:
        return [(low, 0, 0)]
    middle = (low + high) // 2
    above = _bisect(middle + 1, high, first + 1)
    below = _bisect(low, middle, first + 1 + len(above))
    return [(middle, first + 1, first + 1 + len(above)), *above, *below]


def _add_projections(
    model: onnx.ModelProto, features: str, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    """Add a node that projects a tensor on the direction of each class mean."""
    graph = model.graph
    _add_constant(graph, _MEANS, _class_directions(_compute_tensor(model, features, images), labels))
    graph.node.append(helper.make_node("MatMul", [features, _MEANS], [_PROJECTIONS], name=_PROJECTIONS))


def _find_features(graph: onnx.GraphProto, path: Path) -> str:
    """Return the name of the last linear layer's input."""
    layers = [node for node in graph.node if node.op_type in {"Gemm", "MatMul"}]
    if not layers:
        raise ExportError(f"{path.name} has no linear layer, whose input is required for familiarity")
    return str(layers[-1].input[0])


def _class_directions(features: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the mean features of each class, normalized: (N, D), (N,) -> (D, K)."""
    means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)], axis=1)
    return np.asarray(means / np.linalg.norm(means, axis=0), np.float32)


def _add_constant(graph: onnx.GraphProto, name: str, values: NDArray[np.generic]) -> None:
    graph.initializer.append(numpy_helper.from_array(values, name))


def _compute_tensor(model: onnx.ModelProto, tensor: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute a tensor of a graph in a copy that has it as an output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if tensor not in {output.name for output in copy.graph.output}:
        copy.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    (values,) = run_onnx(copy.SerializeToString(), [tensor], images)
    return values
