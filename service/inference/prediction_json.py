"""JSON rendering of predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from service.prediction import Prediction


def most_probable(probabilities: Mapping[str, float], count: int) -> dict[str, float]:
    """Return the ``count`` most probable classes, most probable first."""
    return dict(sorted(probabilities.items(), key=lambda item: -item[1])[:count])


class PredictionRenderer:
    """Renders the predictions of one model."""

    def __init__(self, model: str, version: str, class_names: Sequence[str]) -> None:
        self._model_fields = {"model": model, "version": version}
        self._class_names = class_names

    def to_dict(self, prediction: Prediction, top: int | None = None) -> dict[str, Any]:
        """Return the JSON object for one image, with unrounded probabilities.

        The classes are in class order. With ``top`` only the ``top`` most probable ones, whose names are also in
        ``ranking``, most probable first: JavaScript sorts the keys of an object if they are whole numbers.
        """
        values = prediction.probabilities
        confidence = max(values)
        probabilities = dict(zip(self._class_names, values, strict=True))
        if top is not None:
            ranking = list(most_probable(probabilities, top))
            probabilities = {name: value for name, value in probabilities.items() if name in ranking}
        label = self._class_names[values.index(confidence)]
        fields: dict[str, Any] = {"label": label, "confidence": confidence, "probabilities": probabilities}
        if top is not None:
            fields["ranking"] = ranking
        if prediction.familiarity is not None:
            fields |= {"familiarity": prediction.familiarity, "familiar": prediction.is_familiar}
        return fields

    def render(self, prediction: Mapping[str, Any]) -> bytes:
        """Render the response for a single image."""
        return orjson.dumps({**self._model_fields, **prediction})

    def render_batch(self, predictions: Sequence[Mapping[str, Any]]) -> bytes:
        """Render the response for a batch of predictions and problems."""
        return orjson.dumps({**self._model_fields, "predictions": predictions})
