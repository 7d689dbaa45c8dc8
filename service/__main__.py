"""The command line: ``python -m service classify IMAGE...`` and ``python -m service score FOLDER --out FILE``."""

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
    except BrokenPipeError:  # whoever reads has enough, as `head` has
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
        prog="python -m service", description="Classify images without writing a client; `bentoml serve` serves them."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    classify = commands.add_parser(
        "classify",
        help="classify some images",
        description="Classify images: a table on a terminal, a JSON object a line elsewhere.",
        epilog="exit codes: 0; 1 some image could not be classified; 2 one line says why it went no further",
    )
    classify.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    classify.set_defaults(run=_classify, interrupted="interrupted")
    scoring = commands.add_parser(
        "score",
        help="classify every image under a folder into a table",
        description="Classify every image under a folder into a CSV or Parquet file, a row an image; files that cannot "
        "be read are listed. Ctrl-C keeps what is done: the same command goes on.",
    )
    scoring.add_argument("folder", type=Path, metavar="FOLDER")
    scoring.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .csv or .parquet that is not there")
    scoring.set_defaults(run=_score, interrupted="interrupted; the same command goes on where it was")
    for command in (classify, scoring):
        command.add_argument("--model", default=DEFAULT_MODEL, help=f"its newest version answers ({DEFAULT_MODEL})")
        command.add_argument("--url", help="of a server to ask, such as http://localhost:3000 (the model runs here)")
    return parser


def _open(options: argparse.Namespace) -> Model:
    return RemoteModel(options.url, options.model) if options.url else LocalModel(load_settings(), options.model)


def _classify(options: argparse.Namespace) -> int:
    if missing := [str(path) for path in options.images if not path.exists()]:
        raise ScoringError(f"no such file: {', '.join(missing)}")
    if folders := [str(path) for path in options.images if path.is_dir()]:
        raise ScoringError(f"expected images, got folders, which `score` takes: {', '.join(folders)}")
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
        "image", "label", "likeliest", "familiar", title=f"{model.name} {model.version}", title_justify="left"
    )
    for path, prediction in predictions.items():
        if "label" not in prediction:
            table.add_row(str(path), "-", prediction["detail"], "-")
            continue
        likeliest = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])[:SHOWN]
        shares = ", ".join(f"{name} {share:.1%}" for name, share in likeliest)
        familiar = {True: "yes", False: "no", None: "-"}[prediction.get("familiar")]
        table.add_row(str(path), prediction["label"], shares, familiar)
    Console().print(table, markup=False)


def _score(options: argparse.Namespace) -> int:
    if not options.folder.is_dir():
        raise ScoringError(f"{options.folder} is no folder")
    with closing(_open(options)) as model:
        scored = score(options.folder, options.out, model)
    for path, why in scored.failed.items():
        print(f"{path}: {why}", file=sys.stderr)
    earlier = f", {scored.earlier:,} of them by an earlier run" if scored.earlier else ""
    failed = f"; {len(scored.failed):,} could not be classified" if scored.failed else ""
    print(f"wrote {options.out}: {scored.images:,} images{earlier}{failed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
