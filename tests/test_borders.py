"""Imports between packages, read off the syntax tree, so that lazy ones count too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT

FORBIDDEN = {
    "service": {"training", "torch", "torchvision", "onnx"},
    "training": {"service", "bentoml", "starlette"},
    "models": {"training", "service", "torch", "onnx", "onnxruntime", "bentoml"},
}
# From top to bottom: a package imports from those below it only. "" is the modules at the root, which are the lowest.
LAYERS: dict[str, list[set[str]]] = {
    "service": [
        {"__main__", "app", "reference"},
        {"http", "cli"},
        {"open_inference"},
        {"inference"},
        {"images", "runtime", "batching"},
        {""},
    ],
    "training": [
        {"__main__"},
        {"cli"},
        {"study", "adoption"},
        {"pipeline"},
        {"reporting"},
        {"evaluation"},
        {"export"},
        {"fitting"},
        {"recipes"},
        {"networks"},
        {"data"},
        {""},
    ],
    "models": [{"preparation"}, {""}],
}
ENTRY_POINTS = {"__main__", "app", "reference"}
# The modules that may use internals of a library; docs/dependencies.md lists what they use.
ADAPTERS = {
    "service/http/bentoml_adapter.py",
    "service/http/uvicorn_adapter.py",
    "service/images/pillow_adapter.py",
}
INTERNALS = ("uvicorn.", "PIL.Image.core", "PIL.TiffImagePlugin.ImageFileDirectory", "onnxruntime.capi.")
VAGUE = {"utils", "helpers", "common", "core", "base", "manager"}
FILES = [path for package in FORBIDDEN for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of every import; the name of a whole module is empty."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its target"
            yield from ((node.module or "", alias.name) for alias in node.names)


def package_of(module: list[str]) -> str:
    """Return the layer's name of a module: its package, an entry point's own name, or "" for others at the root."""
    root, name = module[0], module[1] if len(module) > 1 else ""
    return name if name in ENTRY_POINTS or ((ROOT / root / name / "__init__.py").exists() and name) else ""


def level(root: str, module: list[str]) -> tuple[int, str]:
    package = package_of(module)
    return next(number for number, names in enumerate(LAYERS[root]) if package in names), package


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_only_across_its_borders(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert not {module.partition(".")[0] for module, _ in imports(path)} & FORBIDDEN[package], path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_from_lower_layers_or_its_own_package(path):
    here = list(path.relative_to(ROOT).with_suffix("").parts)
    root = here[0]
    if here[-1] == "__init__":
        here.pop()
    own_level, own_package = level(root, here)
    for module, name in imports(path):
        target = [*module.split("."), name]
        if target[0] != root or target == [root, ""]:
            continue
        its_level, its_package = level(root, target)
        assert its_level > own_level or its_package == own_package, f"{path} imports {module}.{name} from above"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_a_private_name_of_another(path):
    ours = tuple(FORBIDDEN)
    private = [
        f"{module}.{name}"
        for module, name in imports(path)
        if module.startswith(ours) and name.startswith("_") and not name.startswith("__")
    ]
    assert private == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_an_adapter_imports_the_internals_of_a_library(path):
    internal = [
        f"{module}.{name}"
        for module, name in imports(path)
        if module.partition(".")[0] not in {*FORBIDDEN, "__future__"}
        and (
            any(part.startswith("_") for part in [*module.split("."), name] if part)
            or f"{module}.{name}".startswith(INTERNALS)
        )
    ]
    assert str(path.relative_to(ROOT)) in ADAPTERS or internal == []


def test_packages_form_no_cycle():
    for root, layers in LAYERS.items():
        edges: dict[str, set[str]] = {name: set() for names in layers for name in names}
        for path in (path for path in FILES if path.relative_to(ROOT).parts[0] == root):
            _, here = level(root, [part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__"])
            for module, name in imports(path):
                target = [*module.split("."), name]
                if target[0] == root and target != [root, ""]:
                    edges[here].add(level(root, target)[1])
        finished: set[str] = set()
        while waiting := {name for name in edges if name not in finished}:
            free = {name for name in waiting if edges[name] - {name} <= finished}
            assert free, f"{root}: a cycle among {sorted(waiting)}"
            finished |= free


def test_every_package_has_a_layer():
    for root, layers in LAYERS.items():
        packages = {path.parent.name for path in (ROOT / root).glob("*/__init__.py")}
        assert packages == {name for names in layers for name in names} - {""} - ENTRY_POINTS


def test_the_card_needs_the_standard_library_alone():
    names = {module.partition(".")[0] for module, _ in imports(ROOT / "models" / "card.py")}
    assert names <= {"json", "collections", "dataclasses", "typing"}


def test_no_module_has_a_vague_name():
    assert not [path for path in FILES if path.stem in VAGUE]
