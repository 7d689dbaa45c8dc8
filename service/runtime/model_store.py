"""Model files on disk: discovery, loading and a check against their paths."""

from pathlib import Path

from models.contract import MODEL_FILE, MODEL_FILES, MODEL_NAME
from models.preparation.preparer import preparer
from service.runtime.session import ModelLoadError, OnnxClassifier
from service.settings import Settings

ModelFiles = dict[str, dict[str, Path]]  # name -> version -> ONNX file, versions ascending


def find_model_files(folder: Path) -> ModelFiles:
    """Return the model files of a repository.

    Raises:
        ModelLoadError: the repository has no model.
    """
    files: ModelFiles = {}
    for path in sorted(folder.glob(f"*/*/{MODEL_FILE}"), key=lambda path: (path.parts[-3], len(path.parts[-2]), path)):
        name, version = path.parts[-3:-1]
        if MODEL_NAME.fullmatch(name) and version.isascii() and version.isdigit():
            files.setdefault(name, {})[version] = path
    if not files:
        raise ModelLoadError(
            f"no NAME/VERSION/{MODEL_FILE} under {folder}; set CLASSIFIER_MODELS_DIR, train a model, or make one "
            "with `python -m training adopt FILE.onnx --name NAME`"
        )
    return files


def find_misplaced_files(folder: Path, files: ModelFiles) -> list[Path]:
    """Return the ONNX files of a repository that are in no version's folder or have another name than a version's."""
    versions = {path.parent for paths in files.values() for path in paths.values()}
    found = sorted(
        path for pattern in ("*.onnx", "*/*.onnx", "*/*/*.onnx", "*/*/*/*.onnx") for path in folder.glob(pattern)
    )
    return [
        path
        for path in found
        if not (path.parent in versions and path.name in MODEL_FILES.values())
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)  # not yet published
    ]


def load_classifier(path: Path, settings: Settings, *, threads: int, gpu: int = 0) -> OnnxClassifier:
    """Load one model file and check its card against its path.

    The caller runs the golden check.

    Raises:
        ModelLoadError: see OnnxClassifier; or the card names another model, version or precision than the path.
        DeviceError: ``CLASSIFIER_DEVICE`` requires a GPU and ONNX Runtime cannot use one.
    """
    classifier = OnnxClassifier(path, device=settings.device, threads=threads, gpu=gpu)
    card = classifier.card
    found, expected = (card.name, card.version), path.parts[-3:-1]
    if found != expected:
        raise ModelLoadError(f"{path}: its card says {'/'.join(found)}, expected {'/'.join(expected)} as in the path")
    if path.name != MODEL_FILES[card.precision]:
        raise ModelLoadError(
            f"{path}: its card says {card.precision}, expected the file name {MODEL_FILES[card.precision]}"
        )
    try:
        preparer(card.preparation, classifier.image_shape, card.resize)
    except ValueError as error:
        raise ModelLoadError(f"{path}: {error}") from error
    return classifier
