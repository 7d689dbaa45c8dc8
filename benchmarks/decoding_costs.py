"""CPU time and memory of expensive image files, per format.

python -m benchmarks.decoding_costs --out docs                  # writes docs/decoding-costs.md
python -m benchmarks.decoding_costs --only "JPEG, many" WebP    # prints some rows

Each file is built, decoded and prepared in processes of its own. The largest of `--repeats` runs counts.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import PIL

from benchmarks.hostile_files import KINDS
from models.hardware import describe_processor
from models.preparation.preparer import draft_side, preparer
from models.preparation.second_look import second_look
from service.images.decoder import decode_picture, open_image
from service.inference.classify import COSTLY_S
from service.problems import Problem
from service.settings import Settings

COMMAND = [sys.executable, "-m", "benchmarks.decoding_costs"]
SHAPES = {"digit": (28, 28), "photo": (32, 32, 3)}
LIMIT_S, LIMIT_MB = 2.0, 1000  # CPU and memory per picture
_MB = 1e6
_TITLE = "# Costs of expensive image files"


class Cost(NamedTuple):
    """What one file costs."""

    seconds: float  # of CPU
    memory: float  # bytes of resident memory, more than before
    outcome: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or write it to a file."""
    options = make_parser().parse_args(arguments)
    if options.build:
        Path(options.build[1]).write_bytes(KINDS[options.build[0]]())
        return 0
    if options.child:
        print(json.dumps(measure(Path(options.child[0]), options.child[1])))
        return 0
    kinds = [kind for kind in KINDS if not options.only or kind.startswith(tuple(options.only))]
    lines, exceeded = [], []
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            path = Path(folder) / "image"
            subprocess.run([*COMMAND, "--build", kind, str(path)], check=True)  # a child inherits the peak of memory
            costs = {name: _measure_in_child(path, name, options.repeats) for name in SHAPES}
            lines.append(_row(kind, path.stat().st_size, costs))
            print(lines[-1], flush=True)
            if any(cost.seconds > LIMIT_S or cost.memory > LIMIT_MB * _MB for cost in costs.values()):
                exceeded.append(kind)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "decoding-costs.md").write_text(_page(lines, options.repeats))
    print(f"over {LIMIT_S:g} s or {LIMIT_MB} MB: {', '.join(exceeded) or 'none'}")
    return int(bool(exceeded))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding_costs", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for decoding-costs.md")
    parser.add_argument("--only", nargs="+", metavar="KIND", help="beginnings of the kinds to measure")
    parser.add_argument("--repeats", type=int, default=3, help="runs per file (default: %(default)s)")
    parser.add_argument("--build", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser


def measure(path: Path, preparation: str) -> Cost:
    """Decode and prepare a file in this process."""
    body, shape = path.read_bytes(), SHAPES[preparation]
    prepare, side = preparer(preparation, shape), draft_side(preparation, shape)
    before, started = _peak_memory(), time.process_time()
    try:
        opened = open_image(body, max_pixels=Settings().max_pixels)
        picture = decode_picture(opened, draft_side=side)
        pixels = prepare(picture)
        if (other_framings := second_look(preparation)) is not None:
            if opened.expected_s <= COSTLY_S:
                picture = decode_picture(open_image(body, max_pixels=Settings().max_pixels), draft_side=side)
            other_framings(picture, pixels)
        outcome = f"{picture.width} x {picture.height}"
    except Problem as problem:
        outcome = f"{problem.status}: {problem.detail}"
    return Cost(time.process_time() - started, _peak_memory() - before, outcome)


def _peak_memory() -> int:
    """Return the largest resident memory of this process until now, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux reports KiB


def _measure_in_child(path: Path, preparation: str, repeats: int) -> Cost:
    command = [*COMMAND, "--child", str(path), preparation]
    runs = [Cost(*json.loads(subprocess.check_output(command))) for _ in range(repeats)]
    return Cost(max(run.seconds for run in runs), max(run.memory for run in runs), runs[0].outcome)


def _row(kind: str, size: int, costs: dict[str, Cost]) -> str:
    measured = " | ".join(f"{cost.seconds:.2f} | {cost.memory / _MB:,.0f}" for cost in costs.values())
    outcome = next(iter(costs.values())).outcome
    return f"| {kind} | {size:,} | {measured} | {outcome} |"


def _page(lines: Sequence[str], repeats: int) -> str:
    columns = " | ".join(f"{name}: CPU s | MB" for name in SHAPES)
    hardware = f"{describe_processor()}, Pillow {PIL.__version__}"
    return f"""{_TITLE}

`python -m benchmarks.decoding_costs --out docs` writes this page. It decodes and prepares files that are small and
expensive, built by [hostile_files.py](../benchmarks/hostile_files.py), each in a process of its own, with a second look
for `digit`: CPU time, resident memory in addition to that of the idle process, and the size of the picture or the
refusal. The largest of {repeats} runs counts. {hardware}.

The target is at most {LIMIT_S:g} s of CPU and {LIMIT_MB} MB per file. The limits are in
[containers](../service/images/containers) and [decoder.py](../service/images/decoder.py).

| file | bytes | {columns} | outcome |
|---|---|{"---|" * 2 * len(SHAPES)}---|
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    sys.exit(main())
