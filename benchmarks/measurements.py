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
class Figure:
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
class Cost:
    """Cost of a request to one server: medians over the repeats."""

    server: str
    body: str  # "raw" or "form"
    cpu_us: float
    rate: float  # responses per second
    p50_ms: float
    p99_ms: float
    errors: int
    memory_mib: float
    ready_s: float


def render_figures(figures: Sequence[Figure]) -> str:
    """Return a Markdown table of measurements and targets."""
    lines = ["| figure | measured | n, range | target | |", "|---|---|---|---|---|"]
    for figure in figures:
        unit = f" {figure.unit}" if figure.unit else ""
        spread = f"{len(figure.values)}, {_number(min(figure.values))} to {_number(max(figure.values))}"
        target, met = "", ""
        if figure.target is not None:
            target = f"{'≥' if figure.at_least else '≤'} {_number(figure.target)}{unit}"
            met = "met" if figure.is_met else "MISSED"
        lines.append(f"| {figure.name} | {_number(figure.median)}{unit} | {spread} | {target} | {met} |")
    return "\n".join(lines)


def render_costs(costs: Sequence[Cost]) -> str:
    """Return a Markdown table of servers, lowest CPU first."""
    lines = [
        "| server | body | CPU a request | requests/s | p50 | p99 | errors | memory | ready after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {cost.server} | {cost.body} | {cost.cpu_us:.0f} µs | {cost.rate:,.0f} | {cost.p50_ms:.1f} ms "
        f"| {cost.p99_ms:.1f} ms | {cost.errors} | {cost.memory_mib:.0f} MiB | {cost.ready_s:.1f} s |"
        for cost in sorted(costs, key=lambda cost: cost.cpu_us)
    ]
    return "\n".join(lines)


def draw_costs(path: Path, costs: Sequence[Cost], *, title: str) -> None:
    """Plot CPU time and latency per server, lowest CPU on top."""
    costs = sorted(costs, key=lambda cost: -cost.cpu_us)
    names = [f"{cost.server} ({cost.body})" for cost in costs]
    colors = ["tab:orange" if cost.server == OURS.name else "tab:gray" for cost in costs]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.5 * len(costs) + 1.4), layout="constrained", sharey=True)
    bars = left.barh(names, [cost.cpu_us for cost in costs], color=colors)
    left.bar_label(bars, fmt="{:,.0f}", padding=3)
    left.set(xlabel="CPU a request, µs", xlim=(0, 1.15 * max(cost.cpu_us for cost in costs)))
    for row, (cost, color) in enumerate(zip(costs, colors, strict=True)):
        right.plot([cost.p50_ms, cost.p99_ms], [row, row], color=color, linewidth=2)
        right.plot([cost.p50_ms], [row], "o", color=color)
        right.plot([cost.p99_ms], [row], "|", color=color, markersize=14, markeredgewidth=2)
    right.set(xlabel="latency, ms: median (dot) to 99th percentile (bar)", xscale="log")
    right.grid(axis="x", alpha=0.3)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def as_json(costs: Sequence[Cost], figures: Sequence[Figure]) -> dict[str, object]:
    """Return the measurements as JSON values."""
    return {"costs": [asdict(cost) for cost in costs], "figures": [asdict(figure) for figure in figures]}


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
