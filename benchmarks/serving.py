"""Benchmark of the service on loopback, against its targets and other servers.

    uv run --group bench python -m benchmarks.serving                     # everything, about an hour
    uv run --group bench python -m benchmarks.serving --only servers tail --repeats 1

Every server runs one worker on the CPU. The load comes from wrk and h2load (Debian: apt-get install wrk
nghttp2-client), which share the machine's cores with the server. CPU per request (user and system time of the server's
process tree) and ratios within one run are therefore more reliable than requests per second.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import cost, large_model, tail, work
from benchmarks.cost import Effort
from benchmarks.figures import Cost, Figure, as_json, draw_costs, render_costs, render_figures
from benchmarks.generators import GeneratorError, check_installed
from benchmarks.servers import ServerError, newest_file
from models.hardware import available_cores, describe_processor
from training.provenance import git_commit

SUITES: Mapping[str, Callable[[Effort], list[Figure]]] = {
    "large-model": large_model.compare_large_model,
    "workers": cost.compare_workers,
    "batch": cost.compare_batch,
    "photograph": cost.compare_photograph,
    "work": work.measure_work,
    "tail": tail.measure_tail,
    "errors": tail.count_errors,
    "overload": tail.overload,
    "start": tail.measure_start,
    "memory": tail.measure_memory,
}
SERVERS = "servers"


def main() -> int:
    """Run the suites; print and write the results."""
    options = parse_arguments()
    effort = Effort(seconds=options.seconds, repeats=options.repeats)
    costs: list[Cost] = []
    figures: list[Figure] = []
    try:
        check_installed()
        if SERVERS in options.only:
            costs, figures = cost.compare_servers(effort)
        for name, suite in SUITES.items():
            if name in options.only:
                print(f"measuring: {name}", file=sys.stderr, flush=True)
                measured = suite(effort)
                print(render_figures(measured), file=sys.stderr, flush=True)  # kept even if a later suite fails
                figures += measured
    except (GeneratorError, ServerError, KeyboardInterrupt) as error:
        print("Interrupted." if isinstance(error, KeyboardInterrupt) else f"Error: {error}", file=sys.stderr)
        report(None, describe_setting(), costs, figures)  # complete suites only
        return 1
    report(options.out, describe_setting(), costs, figures)
    return 0 if all(figure.is_met for figure in figures) else 2


def describe_setting() -> str:
    """Describe the machine, the date and the versions."""
    commit, version = git_commit()[:7], newest_file("mnist", "int8").parent.name
    return f"{available_cores()} cores of {describe_processor()}, {datetime.now(UTC).date()}, {commit}, mnist {version}"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    suites = [SERVERS, *SUITES]
    parser.add_argument("--only", nargs="+", choices=suites, default=suites, help="default: all")
    parser.add_argument("--seconds", type=int, default=10, help="per run, default: %(default)s")
    parser.add_argument("--repeats", type=int, default=3, help="of every measurement, default: %(default)s")
    parser.add_argument("--out", type=Path, help="folder for serving.md, serving.json and serving.png")
    return parser.parse_args()


def report(out: Path | None, machine: str, costs: Sequence[Cost], figures: Sequence[Figure]) -> None:
    """Print the tables; write them and the plot to ``out`` if given."""
    tables = [render_costs(costs), render_figures(figures)] if costs else [render_figures(figures)]
    text = "\n\n".join([f"Measured on {machine}.", *tables])
    print(text)
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "serving.md").write_text(text + "\n")
    (out / "serving.json").write_text(json.dumps({"machine": machine} | as_json(costs, figures), indent=1) + "\n")
    if costs:
        draw_costs(out / "serving.png", costs, title=f"One digit a request, 16 connections; {machine}")


if __name__ == "__main__":
    sys.exit(main())
