"""Model folders for tests: copies of one exported linear layer."""

import atexit
import dataclasses
import functools
import shutil
import tempfile
from pathlib import Path

import onnx
from support.exported_models import DIGITS, publish_tiny_model

from models.card import ModelCard
from training.export.onnx_file import write_card

ANIMALS = ("ant", "bee", "cat")


def write_model(
    folder: Path,
    name: str,
    *,
    version: str = "1",
    image_shape: tuple[int, ...] = (28, 28),
    preparation: str = "digit",
    class_names: tuple[str, ...] = DIGITS,
    seed: int = 0,
) -> Path:
    """Write ``folder``/<name>/<version>/ and return it."""
    path = folder / name / version
    shutil.copytree(_exported(image_shape, preparation, class_names, seed), path)
    metadata = {entry.key: entry.value for entry in onnx.load(path / "model.onnx").metadata_props}
    card = dataclasses.replace(ModelCard.from_metadata(metadata), name=name, version=version)
    write_card(path / "model.onnx", card)
    return path


@functools.cache
def _exported(image_shape: tuple[int, ...], preparation: str, class_names: tuple[str, ...], seed: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tiny-models-"))
    atexit.register(shutil.rmtree, folder)
    return publish_tiny_model(
        folder, image_shape=image_shape, class_names=class_names, preparation=preparation, seed=seed
    )
