"""The command ``python -m training study``."""

import argparse
from pathlib import Path

from training.device import choose_device
from training.options import MAX_EPOCHS, Commands, add_data_dir, whole_number
from training.provenance import REPOSITORY


def add_study(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "study",
        help="what learning rate, batch size and dropout do to the course's MLP",
        description="Train the course's MLP with every combination of learning rate, batch size and dropout, three "
        "seeds each (training/study.py), and draw what came of it. Ctrl-C ends the command; the next one goes on.",
    )
    parser.set_defaults(run=_study, model="study")
    add = parser.add_argument
    add("--jobs", type=whole_number(1, 1024), default=1, help="runs at once, each on its share of the cores (1)")
    add("--epochs", type=whole_number(1, MAX_EPOCHS), help="instead of the course's")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto is the GPU where there is one")
    add_data_dir(add)
    storage = REPOSITORY / ".checkpoints" / "study.journal"
    add("--storage", type=Path, default=storage, help="what is done, also by others who share it (.checkpoints/)")
    add("--out", type=Path, default=REPOSITORY / "docs" / "study", help="for runs, figures and table (docs/study/)")


def _study(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from training.study import Study, run_study, write_runs  # noqa: PLC0415  # Optuna takes a second to load
    from training.study_report import RUNS_FILE, write_study  # noqa: PLC0415

    device = choose_device(options.device)
    study = Study(storage=options.storage, data_dir=options.data_dir, device=device, epochs=options.epochs)
    runs = run_study(study, jobs=options.jobs)
    write_study(options.out, runs)
    write_runs(options.out / RUNS_FILE, runs)
    print(f"wrote {len(runs)} runs, their curves and their table to {options.out}")
    return 0
