"""Which file of each version is served: held to its golden answers, and the faster of its precisions."""

import json
import logging
import re
from pathlib import Path

import numpy as np

from models.layout import INT8_MODEL_FILE, MODEL_FILE
from models.preparation import preparer
from service.classifier import ModelLoadError, OnnxClassifier
from service.settings import Settings

logger = logging.getLogger("classifier")

ModelFiles = dict[str, dict[str, Path]]  # name -> version -> ONNX file, versions ascending

TIMED_BATCH, TIMED_RUNS = 4, 2  # enough to tell the precisions apart, little enough to start soon

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def find_model_files(folder: Path) -> ModelFiles:
    """List ``folder``'s model files.

    Raises:
        ModelLoadError: there is none.
    """
    files: ModelFiles = {}
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
        ModelLoadError: see OnnxClassifier; or the card names another model, version or precision than the path.
        DeviceError: a GPU was demanded and cannot be had.
    """
    classifier = OnnxClassifier(path, device=settings.device, threads=threads, gpu=gpu)
    card = classifier.card
    found, expected = (card.name, card.version), path.parts[-3:-1]
    if found != expected:
        raise ModelLoadError(f"{path}: its card says {'/'.join(found)}, its folder {'/'.join(expected)}")
    if (card.precision == "int8") != (path.name == INT8_MODEL_FILE):
        raise ModelLoadError(f"{path}: its card says {card.precision}; only {INT8_MODEL_FILE} is int8")
    try:
        preparer(card.preparation, classifier.image_shape)
    except ValueError as error:
        raise ModelLoadError(f"{path}: {error}") from error
    classifier.check_golden()
    return classifier


def choose_model_files(settings: Settings, *, threads: int) -> ModelFiles:
    """Load every version once, let it go again, and return the file of each that shall be served.

    On the CPU that is the int8 file where it is faster here and gives its golden answers, unless the settings say
    otherwise.

    Raises:
        ModelLoadError, DeviceError: see load_classifier.
    """
    return {
        name: {version: choose_model_file(path, settings, threads=threads) for version, path in versions.items()}
        for name, versions in find_model_files(settings.models_dir).items()
    }


def dump_model_files(files: ModelFiles) -> str:
    """Write model files as JSON, for another process."""
    return json.dumps(files, default=str)


def parse_model_files(text: str) -> ModelFiles:
    """Read what ``dump_model_files`` wrote."""
    return {
        name: {version: Path(path) for version, path in versions.items()} for name, versions in json.loads(text).items()
    }


def choose_model_file(path: Path, settings: Settings, *, threads: int) -> Path:
    """Return the file of one version that shall be served, see choose_model_files."""
    float32 = load_classifier(path, settings, threads=threads)
    int8_path = path.with_name(INT8_MODEL_FILE)
    if settings.precision == "float32":
        return path
    if float32.device != "cpu" or not int8_path.exists():
        if settings.precision == "int8":
            logger.warning("serving %s in float32: it has no %s for the CPU", path.parent, INT8_MODEL_FILE)
        return path
    try:
        int8 = load_classifier(int8_path, settings, threads=threads)
    except ModelLoadError as error:  # a processor without VNNI may saturate where another did not
        if settings.precision == "int8":
            raise
        logger.warning("serving %s in float32: %s", path.parent, error)
        return path
    if settings.precision == "int8" or _seconds(int8) < _seconds(float32):
        return int8_path
    return path


def _seconds(classifier: OnnxClassifier) -> float:
    """Return how long a run of a few images takes once it is warm."""
    images = np.zeros((TIMED_BATCH, *classifier.image_shape), np.uint8)
    classifier.run(images)
    return min(classifier.timed(images) for _ in range(TIMED_RUNS))
