"""Predictions as JSON: the text around the numbers is made once a model, each answer fills the numbers in."""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class PredictionRenderer:
    """Writes the answers of one model as UTF-8 JSON."""

    def __init__(self, model: str, version: str, class_names: Sequence[str]) -> None:
        self._head = f'{{"model":{json.dumps(model)},"version":{json.dumps(version)},'
        self._labels = [json.dumps(name) for name in class_names]
        probabilities = ",".join(f"{label.replace('%', '%%')}:%r" for label in self._labels)
        self._all = f'"label":%s,"confidence":%r,"probabilities":{{{probabilities}}}}}'

    def prediction(self, row: NDArray[np.float32], top: int | None = None) -> str:
        """Render the probabilities (K,) of one image as an object's members, without its opening brace.

        All classes in class order, or the ``top`` likeliest, likeliest first; unrounded.
        """
        values: list[float] = row.tolist()
        confidence = max(values)
        label = self._labels[values.index(confidence)]
        if top is None:
            return self._all % (label, confidence, *values)
        likeliest = sorted(range(len(values)), key=values.__getitem__, reverse=True)[:top]
        probabilities = ",".join(f"{self._labels[class_id]}:{values[class_id]!r}" for class_id in likeliest)
        return f'"label":{label},"confidence":{confidence!r},"probabilities":{{{probabilities}}}}}'

    def one(self, prediction: str) -> bytes:
        """Render the answer to a single image."""
        return (self._head + prediction).encode()

    def many(self, predictions: Sequence[str]) -> bytes:
        """Render the answer to a batch; each element is a whole JSON object."""
        return f'{self._head}"predictions":[{",".join(predictions)}]}}'.encode()
