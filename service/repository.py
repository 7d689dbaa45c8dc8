"""The models folder, loaded: <name>/<version>/model.onnx, as Triton and TensorFlow Serving lay it out."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import ModelCard
from models.layout import MODEL_FILE
from models.preparation import preparer
from service.batching import Batcher
from service.classifier import ModelLoadError, OnnxClassifier
from service.metrics import ModelMetrics
from service.problems import UnknownModel, UnknownVersion
from service.rendering import PredictionRenderer
from service.settings import Settings

INLINE_BELOW_S = 0.0005  # a full batch under this costs less than waking a thread and being woken by it

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One version of one model, ready to answer."""

    card: ModelCard
    classifier: OnnxClassifier
    prepare: Callable[[Image.Image], NDArray[np.uint8]]
    batcher: Batcher
    renderer: PredictionRenderer
    metrics: ModelMetrics

    @property
    def draft_size(self) -> tuple[int, int] | None:
        """The (width, height) that a JPEG may be reduced to while it is decoded, or None for its full size."""
        if self.card.preparation != "photo":
            return None
        height, width = self.classifier.image_shape[:2]
        return width, height


class ModelRepository:
    """Every model of the folder, by name and version."""

    def __init__(self, models: Mapping[str, Mapping[str, ServedModel]]) -> None:
        self.models = models

    def find(self, name: str, version: str | None = None) -> ServedModel:
        """Return ``version`` of the model ``name``, the highest if ``version`` is None.

        Raises:
            UnknownModel: no such name; the message has those that exist.
            UnknownVersion: no such version; likewise.
        """
        versions = self.models.get(name)
        if versions is None:
            raise UnknownModel(f"no model {name[:100]!r}, expected one of: {', '.join(self.models)}")
        if version is None:
            return versions[highest(versions)]
        if version not in versions:
            raise UnknownVersion(f"no version {version[:100]!r} of {name}, expected one of: {', '.join(versions)}")
        return versions[version]

    def __iter__(self) -> Iterator[ServedModel]:
        return (model for versions in self.models.values() for model in versions.values())

    def close(self) -> None:
        """Give the inference threads back."""
        for model in self:
            model.batcher.close()


def highest(versions: Mapping[str, ServedModel]) -> str:
    """Return the version that unversioned requests get."""
    return max(versions, key=int)


def find_model_files(folder: Path) -> dict[str, dict[str, Path]]:
    """List ``folder``'s model files by name and version, versions ascending.

    Raises:
        ModelLoadError: there is none.
    """
    files: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob(f"*/*/{MODEL_FILE}"), key=lambda path: (path.parts[-3], len(path.parts[-2]), path)):
        name, version = path.parts[-3:-1]
        if _NAME.fullmatch(name) and version.isascii() and version.isdigit():
            files.setdefault(name, {})[version] = path
    if not files:
        raise ModelLoadError(f"no NAME/VERSION/{MODEL_FILE} under {folder}; set CLASSIFIER_MODELS_DIR, or train one")
    return files


def load_classifier(path: Path, settings: Settings, *, threads: int, gpu: int = 0) -> OnnxClassifier:
    """Load one model file and hold it to its golden answers and to the folder it lies in.

    Raises:
        ModelLoadError: see OnnxClassifier; or the card names another model or version than the folder.
        DeviceError: a GPU was demanded and cannot be had.
    """
    classifier = OnnxClassifier(path, device=settings.device, threads=threads, gpu=gpu)
    found, expected = (classifier.card.name, classifier.card.version), path.parts[-3:-1]
    if found != expected:
        raise ModelLoadError(f"{path}: its card says {'/'.join(found)}, its folder {'/'.join(expected)}")
    try:
        preparer(classifier.card.preparation, classifier.image_shape)
    except ValueError as error:
        raise ModelLoadError(f"{path}: {error}") from error
    classifier.check_golden()
    return classifier


def load_model(path: Path, settings: Settings, *, threads: int, gpu: int = 0) -> ServedModel:
    """Load, check and warm up one model file."""
    classifier = load_classifier(path, settings, threads=threads, gpu=gpu)
    card = classifier.card
    metrics = ModelMetrics(card.name, card.version)
    metrics.set_device(classifier.device)
    batcher = Batcher(
        classifier.run,
        image_shape=classifier.image_shape,
        max_batch_size=settings.max_batch_size,
        max_queue=settings.max_queue,
        inline=classifier.warm_up(settings.max_batch_size) < INLINE_BELOW_S,
        metrics=metrics,
    )
    return ServedModel(
        card=card,
        classifier=classifier,
        prepare=preparer(card.preparation, classifier.image_shape),
        batcher=batcher,
        renderer=PredictionRenderer(card.name, card.version, card.class_names),
        metrics=metrics,
    )


def load_repository(settings: Settings, *, threads: int, gpu: int = 0) -> ModelRepository:
    """Load every model file of the settings' folder.

    Raises:
        ModelLoadError, DeviceError: see load_classifier.
    """
    return ModelRepository(
        {
            name: {version: load_model(path, settings, threads=threads, gpu=gpu) for version, path in versions.items()}
            for name, versions in find_model_files(settings.models_dir).items()
        }
    )


def check_model_files(settings: Settings) -> None:
    """Load every model file once and let it go again.

    Raises:
        ModelLoadError, DeviceError: see load_classifier.
    """
    for versions in find_model_files(settings.models_dir).values():
        for path in versions.values():
            load_classifier(path, settings, threads=1)
