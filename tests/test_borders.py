"""Imports go training -> models <- service, and nowhere else: read from the syntax tree, so that lazy ones count."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "service": {"training", "torch", "torchvision", "onnx"},
    "training": {"service", "bentoml", "starlette"},
    "models": {"training", "service", "torch", "onnx", "onnxruntime", "bentoml"},
}
VAGUE = {"utils", "helpers", "common", "core", "base", "manager"}


def imported_packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it goes"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_only_across_its_borders(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert not set(imported_packages(path)) & FORBIDDEN[package], path


def test_the_card_needs_the_standard_library_alone():
    names = set(imported_packages(ROOT / "models" / "card.py"))
    assert names <= {"json", "collections", "dataclasses", "typing"}


def test_no_module_has_a_vague_name():
    assert not [path for package in FORBIDDEN for path in (ROOT / package).rglob("*.py") if path.stem in VAGUE]
