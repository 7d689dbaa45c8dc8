"""Command line: ``python -m service classify`` and ``python -m service score``."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from service import __version__
from service.cli.classify import TABLE_CLASSES, print_predictions
from service.cli.files import Model, parse_path
from service.cli.local_model import LocalModel
from service.cli.prediction_table import ScoringError
from service.cli.remote_model import RemoteModel, ServerError
from service.cli.score import score
from service.problems import UnknownModel
from service.runtime.session import DeviceError, ModelLoadError
from service.settings import SettingsError, load_settings

DEFAULT_MODEL = "mnist"
LISTED = 20  # skipped files by name
EXIT_CODES = (
    "exit codes: 0 success; 1 some images could not be classified, the others were; "
    "2 error, described in one line; 130 interrupted"
)
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
    parser.add_argument("--version", action="version", version=f"image-classifier {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    classify = commands.add_parser(
        "classify",
        help="classify some images",
        description="Classify images. Prints a table on a terminal, otherwise one JSON object per line. A file that "
        "cannot be classified has its error in place of a prediction.",
        epilog=EXIT_CODES,
    )
    classify.add_argument("images", type=parse_path, nargs="+", metavar="IMAGE", help="a file, or - for standard input")
    classify.add_argument(
        "--top",
        type=_parse_top,
        metavar="N",
        help=f"number of classes per image, most probable first (default: {TABLE_CLASSES} in the table, all in JSON)",
    )
    classify.add_argument("--json", action="store_true", help="print one JSON object per line on a terminal too")
    classify.set_defaults(run=_classify, interrupted="interrupted")
    scoring = commands.add_parser(
        "score",
        help="classify every image under a folder into a table",
        description="Classify every image under a folder into a CSV or Parquet file, one row per image. A file that "
        "cannot be classified is listed and has its error in the table. Ctrl-C keeps finished rows; run the same "
        "command to resume.",
        epilog=EXIT_CODES,
    )
    scoring.add_argument("folder", type=Path, metavar="FOLDER")
    scoring.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new .csv or .parquet file")
    scoring.set_defaults(run=_score, interrupted="interrupted; run the same command to resume")
    for command in (classify, scoring):
        command.add_argument(
            "--model", default=DEFAULT_MODEL, help=f"the model, in its newest version (default: {DEFAULT_MODEL})"
        )
        command.add_argument("--url", help="server, such as localhost:3000 (default: run the model in this process)")
    return parser


def _parse_top(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _open(options: argparse.Namespace) -> Model:
    return RemoteModel(options.url, options.model) if options.url else LocalModel(load_settings(), options.model)


def _classify(options: argparse.Namespace) -> int:
    as_json = options.json or not sys.stdout.isatty()
    with closing(_open(options)) as model:
        failed = print_predictions(options.images, model, as_json=as_json, top=options.top)
    return int(failed > 0)


def _score(options: argparse.Namespace) -> int:
    if not options.folder.is_dir():
        raise ScoringError(f"{options.folder} is not a folder")
    with closing(_open(options)) as model:
        result = score(options.folder, options.out, model)
    for path, error in result.failed.items():
        print(f"{path}: {error}", file=sys.stderr)
    for path in result.skipped[:LISTED]:
        print(f"skipped {path}: no image suffix", file=sys.stderr)
    if len(result.skipped) > LISTED:
        print(f"skipped {len(result.skipped) - LISTED:,} more files without an image suffix", file=sys.stderr)
    earlier = f", {result.earlier:,} of them from an earlier run" if result.earlier else ""
    failed = f"; {len(result.failed):,} could not be classified" if result.failed else ""
    print(f"wrote {options.out}: {result.images:,} images{earlier}{failed}")
    return int(bool(result.failed))


if __name__ == "__main__":
    sys.exit(main())
