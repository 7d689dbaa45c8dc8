"""Model card, stored in the metadata of an ONNX file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, get_args

METADATA_KEY = "model_card"  # the key of the ONNX file's metadata_props
ADOPT = "make a served model of it with `python -m training adopt FILE.onnx --name NAME`"
MAX_SIDE = 1024  # pixels of a resize; 50 MB for the most elongated picture

Preparation = Literal["digit", "photo", "center-crop", "squash"]
Interpolation = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
Precision = Literal["float32", "int8", "float16"]


class ModelCardError(ValueError):
    """A model file has no valid card."""


class MissingCardError(ModelCardError):
    """A model file has no card: it is of another project."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Metrics of a model over every image of a split."""

    accuracy: float  # 0..1
    nll: float  # mean negative log-likelihood, nats
    ece: float  # expected calibration error over 15 equal-width bins, 0..1 (Guo et al. 2017)
    num_images: int


@dataclass(frozen=True, kw_only=True)
class ResizeParameters:
    """Parameters of the preparations ``center-crop`` and ``squash``."""

    interpolation: Interpolation
    side: int | None = None  # pixels of the shorter side before the crop; None for ``squash``

    def __post_init__(self) -> None:
        if self.interpolation not in get_args(Interpolation):
            known = " or ".join(get_args(Interpolation))
            raise ModelCardError(f"interpolation: expected {known}, got {self.interpolation!r}")
        if self.side is not None and (type(self.side) is not int or not 1 <= self.side <= MAX_SIDE):
            raise ModelCardError(f"side: expected a whole number from 1 to {MAX_SIDE}, got {self.side!r}")


@dataclass(frozen=True, kw_only=True)
class AdoptedFile:
    """The file of another project that a model was made from."""

    file: str  # name without folders
    sha256: str
    settings: Mapping[str, Any]  # what the graph was told about its input and output


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Facts about a model that a consumer needs.

    The graph states shapes and dtypes.
    """

    name: str
    version: str  # all digits
    class_names: tuple[str, ...]  # by class_id
    preparation: Preparation
    test: Metrics | None  # of the ONNX file itself, on the test split; None: not measured
    temperature: float | None  # logits are divided by it before softmax; None: not calibrated
    seed: int | None  # None: not trained by this project
    parameters: int
    multiply_adds: int | None  # per image; None: not counted
    date: str  # ISO 8601, UTC
    git_commit: str
    resize: ResizeParameters | None = None  # of the preparations ``center-crop`` and ``squash``
    adopted: AdoptedFile | None = None  # None: trained by this project
    floor: float = 0.0  # subtracted from the softmax, which is then renormalised
    precision: Precision = "float32"  # of weights and activations
    weight_bits: int | None = None  # of an int8 graph's weights; see models.contract.EXACT_WEIGHT_BITS
    recipe: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, str] = field(default_factory=dict)  # file name -> MD5
    libraries: Mapping[str, str] = field(default_factory=dict)  # package -> version

    def __post_init__(self) -> None:
        if not (self.version.isascii() and self.version.isdigit()):
            raise ModelCardError(f"version: expected digits only, got {self.version!r}")
        if self.preparation not in get_args(Preparation):
            known = " or ".join(get_args(Preparation))
            raise ModelCardError(f"preparation: expected {known}, got {self.preparation!r}")
        if self.precision not in get_args(Precision):
            known = " or ".join(get_args(Precision))
            raise ModelCardError(f"precision: expected {known}, got {self.precision!r}")
        if len(set(self.class_names)) != len(self.class_names) or not self.class_names:
            raise ModelCardError(f"class_names: expected distinct names, got {self.class_names}")
        self._check_resize()

    def _check_resize(self) -> None:
        if self.preparation in {"digit", "photo"}:
            if self.resize is not None:
                raise ModelCardError(f"resize: {self.preparation} has no parameters; expected null, got {self.resize}")
        elif self.resize is None:
            raise ModelCardError(f"resize: {self.preparation} needs its parameters, side and interpolation")
        elif (self.resize.side is None) != (self.preparation == "squash"):
            expected = "null" if self.preparation == "squash" else "the shorter side before the crop"
            raise ModelCardError(f"side: {self.preparation} expects {expected}, got {self.resize.side!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain JSON types."""
        return asdict(self) | {"class_names": list(self.class_names)}

    def to_metadata(self) -> dict[str, str]:
        """Return the card as ONNX ``metadata_props``."""
        return {METADATA_KEY: json.dumps(self.to_dict(), sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Parse the card in a model file's ``metadata_props``.

        Raises:
            MissingCardError: the file has no card.
            ModelCardError: the card does not have the fields of this class.
        """
        if METADATA_KEY not in metadata:
            raise MissingCardError(f"the file has no {METADATA_KEY} in its metadata; {ADOPT}")
        try:
            fields = json.loads(metadata[METADATA_KEY])
            fields["class_names"] = tuple(fields["class_names"])
            for name, part in _PARTS.items():
                if fields.get(name) is not None:
                    fields[name] = part(**fields[name])
            return cls(**fields)
        except ModelCardError:
            raise
        except KeyError as error:
            raise ModelCardError(f"the model file's card has no {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ModelCardError(f"cannot parse the model file's card: {error}") from error


_PARTS = {"test": Metrics, "resize": ResizeParameters, "adopted": AdoptedFile}
