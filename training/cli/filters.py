"""The command ``python -m training filters``."""

import argparse
from pathlib import Path

from models.contract import MODEL_FILE, newest_version
from training.cli.options import Commands, Models, add_command, add_data_dir
from training.provenance import REPOSITORY
from training.reporting.ledger import NotPublishedError
from training.study.filters import draw_feature_maps, draw_filters, read_filters

NUM_IMAGES = 2  # test images: the first one of each of the first classes


def add_filters(commands: Commands, models: Models) -> None:
    """Add the command to the parser."""
    add = add_command(
        commands,
        "filters",
        models=models,
        run=_draw,
        help="plot the first-layer filters of a published CNN",
        description="Plot the filters of the newest version's first convolution, and the feature maps of two test "
        "images (training/study/filters.py).",
    )
    add_data_dir(add)
    add("--out", type=Path, default=REPOSITORY / "docs" / "study" / "filters", help="default docs/study/filters/")


def _draw(_parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    model = options.models[options.model]
    version = newest_version(options.models_dir / model.name)
    if version is None:
        raise NotPublishedError(f"no version in {options.models_dir / model.name}; run `retrain` first")
    graph, test = version / MODEL_FILE, model.load(options.data_dir).test
    filters = read_filters(graph)
    options.out.mkdir(parents=True, exist_ok=True)
    images = [test.images[test.labels == label][0].numpy() for label in range(NUM_IMAGES)]
    draw_filters(options.out / f"{model.name}.png", filters)
    draw_feature_maps(options.out / f"{model.name}-maps.png", graph, images)
    print(f"wrote {model.name}.png and {model.name}-maps.png to {options.out}")
    return 0
