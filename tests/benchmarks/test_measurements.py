"""Tests of benchmarks/measurements.py and of the recorded results in docs."""

import json

from support.paths import ROOT

from benchmarks.measurements import (
    Measurement,
    ServerSummary,
    as_json,
    draw_servers,
    render_measurements,
    render_report,
    render_servers,
)


def summary(name, *, cpu_us):
    return ServerSummary(
        server=name,
        body="raw",
        cpu_us=cpu_us,
        rate=1e6 / cpu_us,
        p50_ms=1,
        p99_ms=2,
        errors=0,
        memory_mib=9,
        ready_s=1,
    )


def test_measurement_compares_its_median_with_the_target():
    most = Measurement(name="at most", values=[1.0, 3.0, 1.2], target=2)
    least = Measurement(name="at least", values=[1.0, 3.0, 1.2], target=2, at_least=True)
    free = Measurement(name="free", values=[7.0])
    assert (most.is_met, least.is_met, free.is_met) == (True, False, True)
    table = render_measurements([most, least, free])
    assert "| free | 7 | 1, 7 to 7 |  |  |" in table
    assert "| at most | 1.2 | 3, 1 to 3 | ≤ 2 | met |" in table
    assert "| at least | 1.2 | 3, 1 to 3 | ≥ 2 | MISSED |" in table


def test_servers_are_sorted_by_cpu():
    lines = render_servers([summary("slow", cpu_us=900.0), summary("this service", cpu_us=150.0)]).splitlines()
    assert lines[2].startswith("| this service | raw | 150 µs | 6,667 | 1.0 ms | 2.0 ms | 0 | 9 MiB |")
    assert lines[3].startswith("| slow | raw | 900 µs |")


def test_report_without_servers_has_one_table():
    report = render_report("a machine", [], [Measurement(name="free", values=[7.0])])
    assert report.startswith("Measured on a machine.\n\n| measurement | median |")


def test_servers_are_drawn(tmp_path):
    draw_servers(tmp_path / "servers.png", "a machine", [summary("this service", cpu_us=150.0)])
    assert (tmp_path / "servers.png").stat().st_size > 10_000


def test_recorded_serving_results_render_to_the_document():
    recorded = json.loads((ROOT / "docs" / "serving.json").read_text())
    servers = [ServerSummary(**server) for server in recorded["servers"]]
    measurements = [Measurement(**measurement) for measurement in recorded["measurements"]]
    assert as_json(recorded["machine"], servers, measurements) == recorded
    report = render_report(recorded["machine"], servers, measurements)
    assert (ROOT / "docs" / "serving.md").read_text() == report + "\n"
