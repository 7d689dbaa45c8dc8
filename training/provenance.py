"""Provenance of a model: commit of the code and versions of the libraries."""

import subprocess
from importlib import import_module
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MODELS_DIR = REPOSITORY / "models"
LEDGER = REPOSITORY / "docs" / "runs.jsonl"
LIBRARIES = ("numpy", "onnx", "onnxruntime", "onnxscript", "torch", "torchvision")


def git_commit() -> str:
    """Return the commit, with `-dirty` if files differ; `unknown` outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--", "training", "models/*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changes else commit


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries used to train and export."""
    return {library: str(import_module(library).__version__) for library in LIBRARIES}


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
