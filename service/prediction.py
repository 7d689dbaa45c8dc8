"""The result of a model for one image."""

from typing import NamedTuple

from models.contract import FAMILIARITY_THRESHOLD


class Prediction(NamedTuple):
    """The prediction for one image."""

    probabilities: list[float]  # by class id, sum 1
    familiarity: float | None = None  # 0..1 in thousandths; None if the model has no such output

    @property
    def is_familiar(self) -> bool | None:
        """Whether the familiarity reaches the threshold.

        None if the model has no such output.
        """
        return None if self.familiarity is None else self.familiarity >= FAMILIARITY_THRESHOLD
