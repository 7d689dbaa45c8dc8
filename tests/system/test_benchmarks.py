"""Tests of the benchmarks: servers, generators and tables, but no speeds."""

import re
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import httpx
import pytest
from support.served import PATIENT
from support.tools import needs

from benchmarks import gpu, serving, training, work
from benchmarks.cost import DIGIT, Effort, measure, photograph
from benchmarks.figures import Cost, Figure, draw_costs, render_costs, render_figures
from benchmarks.generators import (
    Body,
    ClosedLoop,
    GeneratorError,
    form,
    load_closed,
    load_open,
    read_h2load,
    read_wrk,
    run,
)
from benchmarks.servers import BASELINE, OURS, PEERS, Server, ServerError, newest_file, served
from benchmarks.tail import count_errors
from service.http.multipart import parse
from training.provenance import LEDGER
from training.reporting.ledger import read_runs


@pytest.mark.parametrize("server", [BASELINE, OURS, *PEERS], ids=lambda server: server.name)
def test_every_server_classifies_the_digit(server):
    bodies = [Body(content=DIGIT.read_bytes())] if server.raw else []
    bodies += [form(server.field, [DIGIT.read_bytes()])] if server is not BASELINE else []
    with served(server) as running:
        assert running.cpu_s() > 0
        assert running.memory_mib() > 20
        for body in bodies:
            url = running.url(server.classify.format(model="mnist"))
            response = httpx.post(url, content=body.content, headers={"content-type": body.content_type}, timeout=60)
            found = response.raise_for_status().json()
            assert (found[0] if isinstance(found, list) else found)["label"] == "7"


def test_work_times_every_part_of_a_request():
    figures = work.measure_work(Effort(seconds=0, repeats=2))
    assert [figure.name.split(",")[0].split(" of ")[0] for figure in figures] == [
        "preparing a digit",
        "preparing a 12-megapixel JPEG for cifar10",
        *["familiarity"] * 4,
        *["explaining an answer"] * 2,
    ]
    assert {len(figure.values) for figure in figures} == {2}


def test_graph_without_familiarity_predicts_the_same():
    path, image = newest_file("mnist", "int8"), work.image_of("mnist")[None]
    whole, without = (work.open_on_one_core(graph) for graph in (path, work.without_familiarity(path)))
    assert [output.name for output in without.get_outputs()] == ["probabilities", "logits"]
    assert (without.run(["probabilities"], {"images": image})[0] == whole.run(None, {"images": image})[0]).all()


WRK_PRINTED = """
  Latency Distribution
     50%  500.00us
     75%    1.00ms
     99%    1.20s
  104 requests in 0.87m, 2.13MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 14
"""


@needs("wrk", "h2load")
def test_generators_count_responses_and_errors(monkeypatch):
    monkeypatch.setattr("benchmarks.generators.SETTLING_S", 1)
    monkeypatch.setattr("benchmarks.generators.RAMP_S", 0.5)
    for name, value in PATIENT.items():
        monkeypatch.setenv(f"CLASSIFIER_{name.upper()}", str(value))
    good, bad = Body(content=DIGIT.read_bytes()), Body(content=b"no image")
    with served(OURS) as running:
        url = running.url("/v1/models/mnist/classify")
        closed, refused = (load_closed(url, body, connections=2, seconds=1) for body in (good, bad))
        opened = load_open(url, good, rate=50, connections=5, seconds=1)
    assert closed.answers > 0
    assert closed.errors == 0
    assert 0 < closed.p50_ms <= closed.p99_ms
    assert closed.own_cpu_s > 0
    assert refused.answers == 0 < refused.errors
    assert set(opened.milliseconds) == {200}
    assert opened.p99_ms(200) > 0
    assert 0 < opened.total == opened.count(200) <= 100  # sent, of which those in the first second do not count


def test_read_wrk_converts_units():
    load = read_wrk(WRK_PRINTED)
    assert (load.answers, load.errors) == (90, 14 + 3)
    assert load.seconds == pytest.approx(52.2)
    assert (load.p50_ms, load.p99_ms) == (pytest.approx(0.5), pytest.approx(1200))
    with pytest.raises(GeneratorError, match="unexpected"):
        read_wrk("no such thing")


def test_read_h2load_counts_requests_sent_after_settling(monkeypatch):
    monkeypatch.setattr("benchmarks.generators.SETTLING_S", 1)
    rows = [
        ("1000000", "200", "1000"),
        ("1900000", "503", "9000000"),  # too early
        ("2000000", "503", "2000"),
        ("3500000", "-1", "9"),
        ("5900000", "200", "1000000"),  # a late response counts
        ("6000000", "200", "1000"),  # too late
    ]
    load = read_h2load(rows, seconds=4)
    assert (load.rate(200), load.count(503), load.total) == (0.25, 1, 3)
    assert (load.milliseconds[503], load.milliseconds[200]) == ([2.0], [1000.0])


def test_rejection_target_is_missed_when_nothing_is_rejected():
    none = read_h2load([("0", "200", "1"), *[("20000000", "200", "1000")] * 2], seconds=30)
    assert not Figure(name="p99 of the refusals", values=[none.p99_ms(503)], target=50).is_met


def test_served_reports_a_server_that_does_not_start():
    broken = Server(name="broken", command=["sh", "-c", "echo why >&2; false"], classify="/", ready="/")
    with pytest.raises(ServerError, match="broken exited with status 1:\nwhy"), served(broken):
        pass


def test_served_stops_a_server_that_is_never_ready(monkeypatch):
    monkeypatch.setattr("benchmarks.servers.READY_WITHIN_S", 0.1)
    idle = Server(name="idle", command=["sleep", "60"], classify="/", ready="/")
    with pytest.raises(ServerError, match="idle was not ready within"), served(idle):
        pass


def test_measure_raises_when_requests_fail(monkeypatch):
    load = ClosedLoop(answers=5, errors=1, seconds=1, p50_ms=1, p99_ms=1)
    monkeypatch.setattr("benchmarks.cost.load_closed", lambda *_, **__: load)
    running = SimpleNamespace(server=OURS, cpu_s=lambda: 1.0)
    with pytest.raises(ServerError, match="5 responses with status 200 and 1 errors"):
        measure(running, "http://x", Body(content=b""), 1)


def test_count_errors_raises_without_successful_responses(monkeypatch):
    load = ClosedLoop(answers=0, errors=0, seconds=1, p50_ms=1, p99_ms=1)
    monkeypatch.setattr("benchmarks.tail.load_closed", lambda *_, **__: load)
    running = SimpleNamespace(server=OURS, url=lambda path: path)
    monkeypatch.setattr("benchmarks.tail.served", lambda _server: nullcontext(running))
    with pytest.raises(ServerError, match="no response with status 200 at 1 connections"):
        count_errors(Effort(seconds=1, repeats=1))


def test_missing_generator_is_reported_with_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GeneratorError, match="wrk is not installed; on Debian: apt-get install wrk"):
        run(["wrk"])


def test_serving_prints_complete_suites_when_interrupted(monkeypatch, capsys):
    def interrupt(_effort):
        raise KeyboardInterrupt

    suites = {"work": lambda _effort: [Figure(name="a figure", values=[1.0])], "tail": interrupt}
    monkeypatch.setattr(serving, "check_installed", lambda: None)
    monkeypatch.setattr(serving, "SUITES", suites)
    monkeypatch.setattr(sys, "argv", ["serving", "--only", *suites])
    assert serving.main() == 1
    printed = capsys.readouterr()
    assert printed.out.count("| a figure | 1 |") == 1
    assert (
        printed.err.index("| a figure | 1 |") < printed.err.index("measuring: tail") < printed.err.index("Interrupted.")
    )


def test_form_is_parsed_to_the_same_parts():
    body = form("images", [b"one", b"two"])
    parts = parse(body.content, body.content_type.encode(), max_parts=2)
    assert [(part.name, bytes(part.content)) for part in parts] == [("images", b"one"), ("images", b"two")]


def test_figure_compares_its_median_with_the_target():
    most = Figure(name="at most", values=[1.0, 3.0, 1.2], target=2)
    least = Figure(name="at least", values=[1.0, 3.0, 1.2], target=2, at_least=True)
    free = Figure(name="free", values=[7.0])
    assert (most.is_met, least.is_met, free.is_met) == (True, False, True)
    table = render_figures([most, least, free])
    assert "| free | 7 | 1, 7 to 7 |  |  |" in table
    assert "| at most | 1.2 | 3, 1 to 3 | ≤ 2 | met |" in table
    assert "| at least | 1.2 | 3, 1 to 3 | ≥ 2 | MISSED |" in table


def test_costs_are_sorted_by_cpu(tmp_path):
    costs = [
        Cost(server=name, body="raw", cpu_us=us, rate=1e6 / us, p50_ms=1, p99_ms=2, errors=0, memory_mib=9, ready_s=1)
        for name, us in (("slow", 900.0), ("this service", 150.0))
    ]
    lines = render_costs(costs).splitlines()
    assert lines[2].startswith("| this service | raw | 150 µs | 6,667 | 1.0 ms | 2.0 ms | 0 | 9 MiB |")
    assert lines[3].startswith("| slow | raw | 900 µs |")
    draw_costs(tmp_path / "costs.png", costs, title="example")
    assert (tmp_path / "costs.png").stat().st_size > 10_000


def test_photograph_has_the_size_of_a_camera_file():
    assert 1_000_000 < len(photograph()) < 4_000_000


def test_every_gpu_method_gives_the_probabilities_of_the_cpu(monkeypatch, capsys):
    options = ["--device", "cpu", "--models", "mnist", "--batch-sizes", "1", "5", "--seconds", "0"]
    monkeypatch.setattr(sys, "argv", ["gpu", *options])
    gpu.main()
    printed = capsys.readouterr()
    assert "not timed" not in printed.err
    ways = {tuple(cell.strip() for cell in line.split("|")[2:5]) for line in printed.out.splitlines()[4:-2]}
    assert ways == {
        (precision, way, size)
        for precision in ("float32", "float16")
        for way in ("run", "bound", "CUDA graph", "after another size", "service")
        for size in ("1", "5")
    }


def test_recorded_runs_give_the_time_to_an_accuracy(monkeypatch, capsys):
    run = next(run for run in read_runs(LEDGER) if run.version and run.val_accuracies)
    highest = max(run.val_accuracies)
    epoch = run.val_accuracies.index(highest) + 1
    assert run.minutes_to(highest) == pytest.approx(run.minutes * epoch / run.epochs)
    assert run.minutes_to(1.01) is None
    monkeypatch.setattr(sys, "argv", ["training", "--model", "cifar10", "--recorded", "--until", "0.94"])
    training.main()
    assert re.search(r"seed 0, .*: 94.00% on validation after [\d.]+ of [\d.]+ minutes", capsys.readouterr().out)
