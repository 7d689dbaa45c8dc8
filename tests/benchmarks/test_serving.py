"""Tests of benchmarks/serving.py and its suites without a running server."""

import os
from types import SimpleNamespace

import pytest

from benchmarks import serving
from benchmarks.generators import PACKAGES, Body, ClosedLoop
from benchmarks.images import make_photograph
from benchmarks.latency import count_errors
from benchmarks.load import WARM_UP_S, measure_load
from benchmarks.measurements import Measurement, RunOptions
from benchmarks.servers import OURS, ServerError


def closed_loop(*, successes, errors, seconds=1):
    return ClosedLoop(successes=successes, errors=errors, seconds=seconds, p50_ms=1, p99_ms=1)


def test_measure_load_returns_cpu_per_request_after_the_warm_up():
    cpu_s, sent = [3.0], []

    def generate(_url, _body, *, connections, seconds):
        sent.append((connections, seconds))
        cpu_s[0] += seconds
        return closed_loop(successes=1000 * seconds, errors=0, seconds=seconds)

    running = SimpleNamespace(server=OURS, cpu_s=lambda: cpu_s[0])
    load, cpu_us = measure_load(running, "http://x", Body(content=b""), 4, connections=3, generate=generate)
    assert (load.successes, cpu_us) == (4000, pytest.approx(1000))
    assert sent == [(3, WARM_UP_S), (3, 4)]


@pytest.mark.parametrize(("successes", "errors"), [(5, 1), (0, 0)])
def test_measure_load_raises_when_requests_fail(successes, errors):
    load = closed_loop(successes=successes, errors=errors)
    running = SimpleNamespace(server=OURS, cpu_s=lambda: 1.0)
    with pytest.raises(ServerError, match=f"got {successes} with status 200, errors: {errors}"):
        measure_load(running, "http://x", Body(content=b""), 1, generate=lambda *_, **__: load)


def test_count_errors_sums_the_errors_of_all_runs():
    running = SimpleNamespace(server=OURS, url=lambda path: path)
    load = closed_loop(successes=9, errors=2)
    found = count_errors(running, 1, RunOptions(seconds=1, repeats=3), generate=lambda *_, **__: load)
    assert (found.name, found.values, found.is_met) == ("errors from 1 connection", [6], False)


def test_count_errors_raises_without_successful_responses():
    running = SimpleNamespace(server=OURS, url=lambda path: path)
    load = closed_loop(successes=0, errors=0)
    with pytest.raises(ServerError, match="no response with status 200 from 16 connections"):
        count_errors(running, 16, RunOptions(seconds=1, repeats=1), generate=lambda *_, **__: load)


def test_serving_prints_complete_suites_when_interrupted(monkeypatch, tmp_path, capsys):
    def interrupt(_options):
        raise KeyboardInterrupt

    for program in PACKAGES:  # the generators are looked up, but not run
        (tmp_path / program).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    suites = {"stages": lambda _options: [Measurement(name="a time", values=[1.0])], "tail": interrupt}
    assert serving.main(["--only", *suites], suites=suites) == 1
    printed = capsys.readouterr()
    row = "| a time | 1 |"
    assert printed.out.count(row) == 1
    assert printed.err.index(row) < printed.err.index("measuring: tail") < printed.err.index("Interrupted.")


def test_photograph_has_the_size_of_a_camera_file():
    assert 1_000_000 < len(make_photograph()) < 4_000_000
