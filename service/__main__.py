"""Command line: ``python -m service classify`` and ``python -m service score``."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from service.cli.local_model import LocalModel
from service.cli.prediction_table import ScoringError
from service.cli.remote_model import RemoteModel, ServerError
from service.cli.score import Model, PredictionRow, classify_files, score
from service.problems import UnknownModel
from service.runtime.session import DeviceError, ModelLoadError
from service.settings import SettingsError, load_settings

DEFAULT_MODEL = "mnist"
SHOWN = 3  # classes in the table
FAILURES = (DeviceError, ModelLoadError, OSError, ScoringError, ServerError, SettingsError, UnknownModel)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        return _run(options)
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except FAILURES as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(options.interrupted, file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    code = int(options.run(options))
    sys.stdout.flush()
    return code


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of both commands."""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Classify images without writing a client; `bentoml serve` starts the service.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    classify = commands.add_parser(
        "classify",
        help="classify some images",
        description="Classify images. Prints a table on a terminal, otherwise one JSON object per line.",
        epilog="exit codes: 0 success; 1 some images could not be classified; 2 error, described in one line",
    )
    classify.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    classify.set_defaults(run=_classify, interrupted="interrupted")
    scoring = commands.add_parser(
        "score",
        help="classify every image under a folder into a table",
        description="Classify every image under a folder into a CSV or Parquet file, one row per image. Files that "
        "cannot be read are listed. Ctrl-C keeps finished rows; run the same command to resume.",
    )
    scoring.add_argument("folder", type=Path, metavar="FOLDER")
    scoring.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new .csv or .parquet file")
    scoring.set_defaults(run=_score, interrupted="interrupted; run the same command to resume")
    for command in (classify, scoring):
        command.add_argument(
            "--model", default=DEFAULT_MODEL, help=f"the model, in its newest version (default: {DEFAULT_MODEL})"
        )
        command.add_argument(
            "--url", help="server, such as http://localhost:3000 (default: run the model in this process)"
        )
    return parser


def _open(options: argparse.Namespace) -> Model:
    return RemoteModel(options.url, options.model) if options.url else LocalModel(load_settings(), options.model)


def _classify(options: argparse.Namespace) -> int:
    if missing := [str(path) for path in options.images if not path.exists()]:
        raise ScoringError(f"no such file: {', '.join(missing)}")
    if folders := [str(path) for path in options.images if path.is_dir()]:
        raise ScoringError(f"expected image files, got folders; classify folders with `score`: {', '.join(folders)}")
    failed, shown = False, dict[Path, PredictionRow]()
    with closing(_open(options)) as model:
        try:
            for predictions in classify_files(options.images, model):
                failed |= any("label" not in prediction for prediction in predictions.values())
                if sys.stdout.isatty():
                    shown |= predictions
                    continue
                for path, prediction in predictions.items():
                    print(json.dumps({"image": str(path), "model": model.name, "version": model.version, **prediction}))
        finally:
            if shown:
                _print_table(model, shown)
    return int(failed)


def _print_table(model: Model, predictions: dict[Path, dict[str, Any]]) -> None:
    table = Table(
        "image", "label", "most probable", "familiar", title=f"{model.name} {model.version}", title_justify="left"
    )
    for path, prediction in predictions.items():
        if "label" not in prediction:
            table.add_row(str(path), "-", prediction["detail"], "-")
            continue
        most_probable = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])[:SHOWN]
        percentages = ", ".join(f"{name} {share:.1%}" for name, share in most_probable)
        familiar = {True: "yes", False: "no", None: "-"}[prediction.get("familiar")]
        table.add_row(str(path), prediction["label"], percentages, familiar)
    Console().print(table, markup=False)


def _score(options: argparse.Namespace) -> int:
    if not options.folder.is_dir():
        raise ScoringError(f"{options.folder} is not a folder")
    with closing(_open(options)) as model:
        scored = score(options.folder, options.out, model)
    for path, error in scored.failed.items():
        print(f"{path}: {error}", file=sys.stderr)
    earlier = f", {scored.earlier:,} of them from an earlier run" if scored.earlier else ""
    failed = f"; {len(scored.failed):,} could not be classified" if scored.failed else ""
    print(f"wrote {options.out}: {scored.images:,} images{earlier}{failed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
