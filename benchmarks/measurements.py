"""Measurements with their targets, as tables and a plot."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl

from benchmarks.servers import OURS

mpl.use("agg")
from matplotlib import pyplot as plt


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Duration and repeats of every measurement."""

    seconds: int = 10  # per run
    repeats: int = 3


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A repeated measurement and its target."""

    name: str
    values: Sequence[float]  # one per repeat
    target: float | None = None
    unit: str = ""
    at_least: bool = False  # the target is a minimum; else a maximum

    @property
    def median(self) -> float:
        """Return the value that is compared with the target."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        """Tell whether the target, if any, is met."""
        if self.target is None:
            return True
        return self.median >= self.target if self.at_least else self.median <= self.target


@dataclass(frozen=True, kw_only=True)
class ServerSummary:
    """Medians over the runs of one server."""

    server: str
    body: str  # "raw" or "form"
    cpu_us: float  # per request
    rate: float  # responses per second
    p50_ms: float
    p99_ms: float
    errors: int  # in all runs
    memory_mib: float
    ready_s: float


def render_measurements(measurements: Sequence[Measurement]) -> str:
    """Return a Markdown table of measurements and targets."""
    lines = ["| measurement | median | n, range | target | result |", "|---|---|---|---|---|"]
    for measurement in measurements:
        unit = f" {measurement.unit}" if measurement.unit else ""
        values = measurement.values
        spread = f"{len(values)}, {_number(min(values))} to {_number(max(values))}"
        target, met = "", ""
        if measurement.target is not None:
            target = f"{'≥' if measurement.at_least else '≤'} {_number(measurement.target)}{unit}"
            met = "met" if measurement.is_met else "MISSED"
        lines.append(f"| {measurement.name} | {_number(measurement.median)}{unit} | {spread} | {target} | {met} |")
    return "\n".join(lines)


def render_servers(servers: Sequence[ServerSummary]) -> str:
    """Return a Markdown table of servers, lowest CPU first."""
    lines = [
        "| server | body | CPU per request | responses per second | p50 | p99 | errors | memory | ready after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {server.server} | {server.body} | {server.cpu_us:.0f} µs | {server.rate:,.0f} | {server.p50_ms:.1f} ms "
        f"| {server.p99_ms:.1f} ms | {server.errors} | {server.memory_mib:.0f} MiB | {server.ready_s:.1f} s |"
        for server in sorted(servers, key=lambda server: server.cpu_us)
    ]
    return "\n".join(lines)


def render_report(machine: str, servers: Sequence[ServerSummary], measurements: Sequence[Measurement]) -> str:
    """Return the text of docs/serving.md; the table of servers is left out if empty."""
    tables = [render_servers(servers)] if servers else []
    return "\n\n".join([f"Measured on {machine}.", *tables, render_measurements(measurements)])


def draw_servers(path: Path, machine: str, servers: Sequence[ServerSummary]) -> None:
    """Plot CPU time and latency per server, lowest CPU on top."""
    servers = sorted(servers, key=lambda server: -server.cpu_us)
    names = [f"{server.server} ({server.body})" for server in servers]
    colors = ["tab:orange" if server.server == OURS.name else "tab:gray" for server in servers]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 0.5 * len(servers) + 1.4), layout="constrained", sharey=True
    )
    bars = left.barh(names, [server.cpu_us for server in servers], color=colors)
    left.bar_label(bars, fmt="{:,.0f}", padding=3)
    left.set(xlabel="CPU per request, µs", xlim=(0, 1.15 * max(server.cpu_us for server in servers)))
    for row, (server, color) in enumerate(zip(servers, colors, strict=True)):
        right.plot([server.p50_ms, server.p99_ms], [row, row], color=color, linewidth=2)
        right.plot([server.p50_ms], [row], "o", color=color)
        right.plot([server.p99_ms], [row], "|", color=color, markersize=14, markeredgewidth=2)
    right.set(xlabel="latency, ms: median (dot) to 99th percentile (bar)", xscale="log")
    right.grid(axis="x", alpha=0.3)
    figure.suptitle(f"One digit per request, 16 connections; {machine}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def as_json(machine: str, servers: Sequence[ServerSummary], measurements: Sequence[Measurement]) -> dict[str, object]:
    """Return the results as JSON values."""
    return {
        "machine": machine,
        "servers": [asdict(server) for server in servers],
        "measurements": [asdict(measurement) for measurement in measurements],
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
