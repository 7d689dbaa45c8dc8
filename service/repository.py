"""The models folder, loaded: <name>/<version>/model.onnx, as Triton and TensorFlow Serving lay it out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import ModelCard
from models.preparation import draft_side, preparer
from service.batching import Batcher
from service.classifier import OnnxClassifier
from service.metrics import ModelMetrics
from service.model_files import ModelFiles, load_classifier
from service.problems import UnknownModel, UnknownVersion
from service.rendering import PredictionRenderer
from service.settings import Settings

INLINE_BELOW_S = 0.001  # a full batch under this costs less than waking a thread and being woken by it, again and again


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One version of one model, ready to answer."""

    card: ModelCard
    classifier: OnnxClassifier
    prepare: Callable[[Image.Image], NDArray[np.uint8]]
    draft_side: int | None  # that a JPEG may be reduced to as it is decoded; None for its full size
    batcher: Batcher
    renderer: PredictionRenderer
    metrics: ModelMetrics


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


def highest(versions: Iterable[str]) -> str:
    """Return the version that unversioned requests get."""
    return max(versions, key=int)


def load_model(path: Path, settings: Settings, *, threads: int, gpu: int = 0) -> ServedModel:
    """Load, check and warm up one model file."""
    classifier = load_classifier(path, settings, threads=threads, gpu=gpu)
    card = classifier.card
    metrics = ModelMetrics(card.name, card.version)
    metrics.set_device(classifier.device)
    max_batch_size, seconds = classifier.warm_up(settings.max_batch_size)
    inline = seconds < INLINE_BELOW_S
    if inline and threads > 1:  # so little work costs more to share out than it takes
        classifier = load_classifier(path, settings, threads=1, gpu=gpu)
        max_batch_size, seconds = classifier.warm_up(settings.max_batch_size)
    batcher = Batcher(
        classifier.run,
        image_shape=classifier.image_shape,
        max_batch_size=max_batch_size,
        max_queue=settings.max_queue,
        max_wait_s=settings.max_wait_ms / 1000,
        seconds_per_image=seconds / max_batch_size,
        inline=inline,
        metrics=metrics,
    )
    return ServedModel(
        card=card,
        classifier=classifier,
        prepare=preparer(card.preparation, classifier.image_shape),
        draft_side=draft_side(card.preparation, classifier.image_shape),
        batcher=batcher,
        renderer=PredictionRenderer(card.name, card.version, card.class_names),
        metrics=metrics,
    )


def load_repository(files: ModelFiles, settings: Settings, *, threads: int, gpu: int = 0) -> ModelRepository:
    """Load every one of the files.

    Raises:
        ModelLoadError, DeviceError: see load_classifier.
    """
    return ModelRepository(
        {
            name: {version: load_model(path, settings, threads=threads, gpu=gpu) for version, path in versions.items()}
            for name, versions in files.items()
        }
    )
