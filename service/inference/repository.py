"""The loaded model repository."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import ModelCard
from models.preparation.preparer import draft_side, prepared_check, preparer
from models.preparation.second_look import OtherFramings, second_look
from service.batching.batcher import Batcher
from service.inference.prediction_json import PredictionRenderer
from service.metrics import ModelMetrics
from service.problems import UnknownModel, UnknownVersion
from service.runtime.golden_check import check_golden
from service.runtime.hardware import cores_per_worker
from service.runtime.model_store import load_classifier
from service.runtime.planning import ServingPlan, ServingPlans, make_plans
from service.runtime.session import OnnxClassifier
from service.settings import Settings

WORKER_GOLDEN = 16  # golden images that each worker checks; make_plans has checked all of them on this machine


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One version of one model, loaded and warmed up."""

    card: ModelCard
    classifier: OnnxClassifier
    prepare: Callable[[Image.Image], NDArray[np.uint8]]
    is_prepared: Callable[[NDArray[np.uint8]], bool]  # whether ``prepare`` would return the same pixels
    other_framings: OtherFramings | None  # see models.preparation.second_look
    draft_side: int | None  # see models.preparation.preparer.draft_side
    batcher: Batcher
    renderer: PredictionRenderer
    metrics: ModelMetrics

    def __str__(self) -> str:
        return (
            f"{self.card.name}/{self.card.version} ({self.card.precision} on {self.classifier.device}, "
            f"{self.batcher.max_batch_size} images per batch)"
        )


class ModelRepository:
    """All served models, by name and version."""

    def __init__(self, models: Mapping[str, Mapping[str, ServedModel]]) -> None:
        self.models = models
        self._defaults = {name: versions[highest(versions)] for name, versions in models.items()}

    def find(self, name: str, version: str | None = None) -> ServedModel:
        """Return ``version`` of the model ``name``, the highest if ``version`` is None.

        Raises:
            UnknownModel: no such name; the message lists the names.
            UnknownVersion: no such version; the message lists the versions.
        """
        versions = self.models.get(name)
        if versions is None:
            raise UnknownModel(f"no model {name[:100]!r}, expected one of: {', '.join(self.models)}")
        if version is None:
            return self._defaults[name]
        if version not in versions:
            raise UnknownVersion(f"no version {version[:100]!r} of {name}, expected one of: {', '.join(versions)}")
        return versions[version]

    def __iter__(self) -> Iterator[ServedModel]:
        return (model for versions in self.models.values() for model in versions.values())

    def close(self) -> None:
        """Stop the inference threads."""
        for model in self:
            model.batcher.close()


def highest(versions: Iterable[str]) -> str:
    """Return the highest version, which serves requests without a version."""
    return max(versions, key=int)


def load_model(plan: ServingPlan, settings: Settings, *, gpu: int = 0) -> ServedModel:
    """Load, check and warm up one version of a model."""
    as_planned = settings.model_copy(update={"device": plan.device})
    classifier = load_classifier(plan.path, as_planned, threads=plan.threads, gpu=gpu)
    check_golden(classifier, limit=WORKER_GOLDEN)
    classifier.warm_up(plan.max_batch_size)
    card = classifier.card
    metrics = ModelMetrics(card.name, card.version)
    metrics.set_device(classifier.device)
    return ServedModel(
        card=card,
        classifier=classifier,
        prepare=preparer(card.preparation, classifier.image_shape, card.resize),
        is_prepared=prepared_check(card.preparation, classifier.image_shape, card.resize),
        other_framings=second_look(card.preparation),
        draft_side=draft_side(card.preparation, classifier.image_shape),
        batcher=make_batcher(classifier, plan, settings, metrics),
        renderer=PredictionRenderer(card.name, card.version, card.class_names),
        metrics=metrics,
    )


def make_batcher(classifier: OnnxClassifier, plan: ServingPlan, settings: Settings, metrics: ModelMetrics) -> Batcher:
    """Create the queue and the threads of one version, as planned."""
    return Batcher(
        classifier.run,
        image_shape=classifier.image_shape,
        max_batch_size=plan.max_batch_size,
        max_queue=settings.max_queue,
        max_wait_s=settings.max_wait_ms / 1000,
        seconds_per_image=plan.batch_s / plan.max_batch_size,
        concurrency=plan.concurrency,
        metrics=metrics,
    )


def load_repository(settings: Settings, plans: ServingPlans | None = None, *, gpu: int = 0) -> ModelRepository:
    """Load, check and warm up every version.

    Args:
        settings: of the service.
        plans: of the versions; computed if None.
        gpu: index of the GPU, if one is used.

    Raises:
        ModelLoadError, DeviceError: see load_classifier.
    """
    if plans is None:
        plans = make_plans(settings, threads=cores_per_worker(settings))
    return ModelRepository(
        {
            name: {version: load_model(plan, settings, gpu=gpu) for version, plan in versions.items()}
            for name, versions in plans.items()
        }
    )
