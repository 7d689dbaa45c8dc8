"""Class names from a file: one per line, or JSON as in Hugging Face's id2label."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from training.adoption.source import AdoptionError


def read_labels(path: Path, *, num_classes: int) -> tuple[str, ...]:
    """Read the names of the classes, by class_id.

    Args:
        path: text with one name per line, or JSON: a list of names, or an object of class_id and name.
        num_classes: of the network.

    Raises:
        AdoptionError: the file is unreadable, or its names are not distinct or of another number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AdoptionError(f"--labels: cannot read {path}: {error}") from error
    names = _parse_json(path, text) if path.suffix == ".json" else text.rstrip().split("\n")
    names = [name.strip() for name in names]
    if len(names) != num_classes:
        raise AdoptionError(f"{path.name} has {len(names)} class names, the network has {num_classes} classes")
    if "" in names:
        raise AdoptionError(f"{path.name}: class {names.index('')} has no name")
    repeated = [f"{name!r}" for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise AdoptionError(f"{path.name}: class names must be distinct; repeated: {', '.join(repeated[:5])}")
    return tuple(names)


def _parse_json(path: Path, text: str) -> list[str]:
    """Return the names of a list, or of an object in the order of its class_ids."""
    try:
        content: Any = json.loads(text)
        if isinstance(content, dict):
            content = [content[str(class_id)] for class_id in range(len(content))]
    except (ValueError, KeyError) as error:
        raise AdoptionError(f"{path.name}: expected a JSON list of names, or an object of class_id and name") from error
    if not all(isinstance(name, str) for name in content):
        raise AdoptionError(f"{path.name}: expected names of type string")
    return list(content)
