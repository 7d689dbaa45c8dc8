"""Training speed of a recipe, its profile, and its time to an accuracy.

uv run --group train python -m benchmarks.training                        # images/s and a profile, on random images
uv run --group train python -m benchmarks.training --until 0.94 --seeds 0 1 2 3 4    # trains
uv run --group train python -m benchmarks.training --until 0.94 --recorded            # from docs/runs.jsonl
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from training.data.datasets import DataSet, Split
from training.device import choose_device, describe_hardware, keep_freed_memory
from training.fitting.loop import Trainer
from training.pipeline.building import make_trainer
from training.plurals import describe_count
from training.provenance import LEDGER, REPOSITORY
from training.recipes.recipe import recipe_from_settings
from training.recipes.zoo import ZOO, TrainableModel
from training.reporting.ledger import read_runs

DEFAULT_UNTIL = 0.94
ROWS = 12  # rows of the profile
PRODUCTS = ("conv", "mm", "gemm", "cudnn", "cutlass")
WAITS = ("aten::item", "cudaStreamSynchronize", "cudaDeviceSynchronize")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the requested measurements."""
    options = make_parser().parse_args(arguments)
    keep_freed_memory()
    device, model = choose_device(options.device), ZOO[options.model]
    print(f"{model.name}, recipe `published`, on {describe_hardware(device)}, torch {torch.__version__}")
    if options.recorded:
        print_recorded(model, options.until or DEFAULT_UNTIL)
    elif options.until:
        measure_time_to(model, options.until, options.seeds, data_dir=options.data_dir, device=device)
    else:
        measure_speed(model, steps=options.steps, device=device)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", choices=ZOO, default="cifar10")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--steps", type=int, default=20, help="steps to time, and to profile (default 20)")
    add("--until", type=float, help="train to this validation accuracy, 0..1, and print the time")
    add("--seeds", type=int, nargs="+", default=[0])
    add("--recorded", action="store_true", help="use the runs in docs/runs.jsonl instead of training")
    add("--data-dir", type=Path, default=REPOSITORY / "data", help="folder of the data sets, for --until")
    return parser


def measure_speed(model: TrainableModel, *, steps: int, device: torch.device) -> None:
    """Time and profile epochs of ``steps`` steps on random images.

    A step takes as long with random images as with real ones.
    """
    recipe = replace(model.recipes["published"], epochs=2, patience=2)
    data = random_data(model, num_images=steps * recipe.batch_size)
    fit = make_trainer(model, recipe, data, seed=0, device=device).run(stopped=never, after_epoch=nothing)
    assert fit is not None
    speed = fit.history[-1].images_per_s  # the first epoch is the warm-up
    print(f"{speed:,.0f} images/s over {describe_count(steps, 'step')} of {recipe.batch_size} images")
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        make_trainer(model, recipe, data, seed=0, device=device).run(stopped=never, after_epoch=nothing)
    print_profile(profiler, device)


def print_profile(profiler: profile, device: torch.device) -> None:
    """Print the operations with the most device time, and the calls that wait for a GPU."""
    events = profiler.key_averages()
    kind = "device" if device.type == "cuda" else "cpu"
    times = {event.key: getattr(event, f"self_{kind}_time_total") for event in events}
    total = sum(times.values())
    products = sum(microseconds for name, microseconds in times.items() if any(word in name for word in PRODUCTS))
    print(f"convolutions and matrix products: {products / total:.0%} of the time on the {kind}")
    for name, microseconds in sorted(times.items(), key=lambda item: -item[1])[:ROWS]:
        print(f"  {microseconds / total:6.1%}  {name[:90]}")
    if device.type == "cuda":
        waits = {event.key: event.count for event in events if event.key in WAITS}
        print(f"calls that wait for the GPU: {waits or 'none'}")


def measure_time_to(
    model: TrainableModel, accuracy: float, seeds: Sequence[int], *, data_dir: Path, device: torch.device
) -> None:
    """Train each seed until an epoch reaches the validation accuracy."""
    data = model.load(data_dir)
    found: list[float] = []
    for seed in seeds:
        trainer = make_trainer(model, model.recipes["published"], data, seed=seed, device=device)

        def reached(trainer: Trainer = trainer) -> bool:
            return bool(trainer.history) and trainer.history[-1].val_accuracy >= accuracy

        fit = trainer.run(stopped=reached, after_epoch=nothing)
        assert fit is not None
        after = f"on the validation images after {describe_count(len(fit.history), 'epoch')}, {fit.seconds:.1f} s"
        print(f"seed {seed}: {fit.best.val_accuracy:.2%} {after}", flush=True)
        if reached():
            found.append(fit.seconds)
    if found:
        spread = f"{min(found):.1f} to {max(found):.1f}, n = {len(found)}"
        print(f"{accuracy:.0%}: median {statistics.median(found):.1f} s, {spread}")


def print_recorded(model: TrainableModel, accuracy: float) -> None:
    """Print the minutes that recorded runs took to a validation accuracy."""
    recipe = model.recipes["published"]
    for run in read_runs(LEDGER):
        is_this = (run.model, run.ablation) == (model.name, "") and recipe_from_settings(run.settings) == recipe
        if is_this and run.val_accuracies:
            minutes = run.minutes_to(accuracy)
            found = f"after {minutes:.1f} of {run.minutes:.1f} minutes" if minutes else "never"
            print(f"seed {run.seed}, {run.hardware}: {accuracy:.2%} on validation {found}")


def random_data(model: TrainableModel, *, num_images: int) -> DataSet:
    """Return random images at the model's size; 64 for validation and test each."""
    shape = (28, 28) if model.preparation == "digit" else (32, 32, 3)

    def make(count: int) -> Split:
        images = torch.randint(256, (count, *shape), dtype=torch.uint8)
        return Split(images=images, labels=torch.arange(count) % len(model.class_names))

    return DataSet(train=make(num_images), val=make(64), test=make(64), md5s={})


def never() -> bool:
    """Never stop a run."""
    return False


def nothing() -> None:
    """Save no checkpoint."""


if __name__ == "__main__":
    main()
