"""The command ``python -m training study``."""

import argparse
from pathlib import Path

from training.cli.options import Commands, add_fitting_options, whole_number
from training.device import choose_device
from training.provenance import REPOSITORY
from training.study.questions import QUESTIONS


def add_study(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "study",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="train every combination of some settings, with several seeds, and plot the results",
        description="Train every combination of some settings with three seeds each (training/study/questions.py), and "
        "plot the results.\nCtrl-C ends the command; run it again to continue.\n\n"
        + "\n".join(f"{question.name}: {question.description}" for question in QUESTIONS.values()),
    )
    parser.set_defaults(run=_study)
    add = parser.add_argument
    add("model", nargs="?", metavar="study", choices=QUESTIONS, default="mlp", help=f"{' or '.join(QUESTIONS)} (mlp)")
    add("--jobs", type=whole_number(1, 1024), default=1, help="concurrent runs, which divide the cores (1)")
    add_fitting_options(add)
    storage = REPOSITORY / ".checkpoints" / "study.journal"
    add("--storage", type=Path, default=storage, help="journal of runs; may be shared (.checkpoints/study.journal)")
    add("--out", type=Path, help="folder for runs, plots and table (docs/study/NAME/)")


def _study(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from training.study.report import write_if_complete  # noqa: PLC0415
    from training.study.runs import Study, run_study  # noqa: PLC0415  # Optuna takes a second to load

    question, device = QUESTIONS[options.model], choose_device(options.device)
    if options.epochs and not options.out:
        parser.error("--epochs: --out is required; docs/study holds only complete studies")
    out = options.out or REPOSITORY / "docs" / "study" / question.name
    study = Study(
        question=question, storage=options.storage, data_dir=options.data_dir, device=device, epochs=options.epochs
    )
    print(write_if_complete(out, study, run_study(study, jobs=options.jobs)))
    return 0
