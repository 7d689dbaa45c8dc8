"""Benchmark of the service on loopback, compared with targets and other servers.

    uv run --group bench python -m benchmarks.serving                     # everything, about an hour
    uv run --group bench python -m benchmarks.serving --only servers tail --repeats 1

Every server runs one worker on the CPU. The load comes from wrk and h2load (Debian: apt-get install wrk
nghttp2-client), which share the machine's cores with the server. CPU per request (user and system time of the server's
process tree) and ratios within one run are therefore more reliable than responses per second.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import cpu_per_request, large_model, latency, overload, request_stages, resources, throughput
from benchmarks.generators import GeneratorError, check_installed
from benchmarks.measurements import (
    Measurement,
    RunOptions,
    ServerSummary,
    as_json,
    draw_servers,
    render_measurements,
    render_report,
)
from benchmarks.servers import ServerError, newest_file
from models.hardware import available_cores, describe_processor
from training.plurals import describe_count
from training.provenance import git_commit

Suites = Mapping[str, Callable[[RunOptions], list[Measurement]]]

SUITES: Suites = {
    "large-model": large_model.compare_large_model,
    "workers": throughput.compare_workers,
    "batch": throughput.compare_batch,
    "photograph": cpu_per_request.compare_photograph,
    "stages": request_stages.measure_stages,
    "tail": latency.measure_tail,
    "errors": latency.measure_errors,
    "overload": overload.measure_overload,
    "retries": overload.measure_retries,
    "start": resources.measure_start,
    "memory": resources.measure_memory,
}
SERVERS = "servers"


def main(arguments: Sequence[str] | None = None, *, suites: Suites = SUITES) -> int:
    """Run the suites; print and write the results."""
    options = make_parser(suites).parse_args(arguments)
    run_options = RunOptions(seconds=options.seconds, repeats=options.repeats)
    servers: list[ServerSummary] = []
    measurements: list[Measurement] = []
    try:
        check_installed()
        if SERVERS in options.only:
            servers, measurements = cpu_per_request.compare_servers(run_options)
        for name, suite in suites.items():
            if name in options.only:
                print(f"measuring: {name}", file=sys.stderr, flush=True)
                measured = suite(run_options)
                print(render_measurements(measured), file=sys.stderr, flush=True)  # kept even if a later suite fails
                measurements += measured
    except (GeneratorError, ServerError, KeyboardInterrupt) as error:
        print("Interrupted." if isinstance(error, KeyboardInterrupt) else f"Error: {error}", file=sys.stderr)
        report(None, describe_setting(), servers, measurements)  # complete suites only
        return 1
    report(options.out, describe_setting(), servers, measurements)
    return 0 if all(measurement.is_met for measurement in measurements) else 2


def describe_setting() -> str:
    """Describe the machine, the date and the versions."""
    cores, version = describe_count(available_cores(), "core"), newest_file("mnist", "int8").parent.name
    return f"{cores} of {describe_processor()}, {datetime.now(UTC).date()}, {git_commit()[:7]}, mnist {version}"


def make_parser(suites: Suites) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [SERVERS, *suites]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument("--seconds", type=int, default=10, help="per run, default: %(default)s")
    parser.add_argument("--repeats", type=int, default=3, help="of every measurement, default: %(default)s")
    parser.add_argument("--out", type=Path, help="folder for serving.md, serving.json and serving.png")
    return parser


def report(
    out: Path | None, machine: str, servers: Sequence[ServerSummary], measurements: Sequence[Measurement]
) -> None:
    """Print the tables; write them and the plot to ``out`` if given."""
    text = render_report(machine, servers, measurements)
    print(text)
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "serving.md").write_text(text + "\n")
    (out / "serving.json").write_text(json.dumps(as_json(machine, servers, measurements), indent=1) + "\n")
    if servers:
        draw_servers(out / "serving.png", machine, servers)


if __name__ == "__main__":
    sys.exit(main())
