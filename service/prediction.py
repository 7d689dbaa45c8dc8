"""The result of a model for one image."""

from typing import NamedTuple

from models.contract import FAMILIAR


class Prediction(NamedTuple):
    """What the model says of one image."""

    probabilities: list[float]  # by class, summing to 1
    familiarity: float | None = None  # 0..1, in thousandths, where the model tells

    @property
    def is_familiar(self) -> bool | None:
        """Whether the image looks like those that the model knows; None where the model does not tell."""
        return None if self.familiarity is None else self.familiarity >= FAMILIAR
