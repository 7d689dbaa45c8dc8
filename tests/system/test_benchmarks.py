"""Tests of the benchmarks: servers, generators and tables, but no speeds."""

import re

import httpx
import pytest
from support.served import PATIENT
from support.tools import needs

from benchmarks import gpu, request_stages, training
from benchmarks.generators import Body, form, load_closed, load_open
from benchmarks.images import DIGIT
from benchmarks.measurements import RunOptions
from benchmarks.servers import BASELINE, OURS, PEERS, Server, ServerError, newest_file, served
from training.onnx_session import open_session
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


def test_every_stage_of_a_request_is_timed():
    measurements = request_stages.measure_stages(RunOptions(seconds=0, repeats=2))
    assert [measurement.name for measurement in measurements] == [
        "preparation of a digit of 280 x 280 pixels",
        "other framings of a digit of 280 x 280 pixels in a white frame",
        "check that an image has MNIST's framing",
        "preparation of a 12-megapixel JPEG for cifar10, relative to its decoding",
        "inference time added by familiarity, mnist, batch size 1",
        "inference time added by familiarity, mnist, batch size 64",
        "inference time added by familiarity, cifar10, batch size 1",
        "inference time added by familiarity, cifar10, batch size 64",
        "explanation of a cifar10 prediction, int8",
        "explanation of a cifar10 prediction, float32",
    ]
    assert {len(measurement.values) for measurement in measurements} == {2}


def test_graph_without_familiarity_predicts_the_same():
    path, image = newest_file("mnist", "int8"), request_stages.image_of("mnist")[None]
    whole, without = (open_session(graph, threads=1) for graph in (path, request_stages.without_familiarity(path)))
    assert [output.name for output in without.get_outputs()] == ["probabilities", "logits"]
    assert (without.run(["probabilities"], {"images": image})[0] == whole.run(None, {"images": image})[0]).all()


@needs("wrk", "h2load")
def test_generators_count_responses_and_errors(monkeypatch):
    for name, value in PATIENT.items():
        monkeypatch.setenv(f"CLASSIFIER_{name.upper()}", str(value))
    good, bad = Body(content=DIGIT.read_bytes()), Body(content=b"no image")
    with served(OURS) as running:
        url = running.url("/v1/models/mnist/classify")
        closed, refused = (load_closed(url, body, connections=2, seconds=1) for body in (good, bad))
        opened = load_open(url, good, rate=50, connections=5, seconds=1, ramp_s=0.5, settling_s=1)
    assert closed.successes > 0
    assert closed.errors == 0
    assert 0 < closed.p50_ms <= closed.p99_ms
    assert closed.own_cpu_s > 0
    assert refused.successes == 0 < refused.errors
    assert set(opened.milliseconds) == {200}
    assert opened.p99_ms(200) > 0
    assert 0 < opened.total == opened.count(200) <= 100  # sent, of which those in the first second do not count


def test_served_reports_a_server_that_does_not_start():
    broken = Server(name="broken", command=["sh", "-c", "echo why >&2; false"], classify="/", ready="/")
    with pytest.raises(ServerError, match="broken exited with status 1:\nwhy"), served(broken):
        pass


def test_served_stops_a_server_that_is_never_ready():
    idle = Server(name="idle", command=["sleep", "60"], classify="/", ready="/")
    with pytest.raises(ServerError, match=r"idle was not ready within 0\.1 s"), served(idle, ready_within_s=0.1):
        pass


def test_every_gpu_method_gives_the_probabilities_of_the_cpu(capsys):
    gpu.main(["--device", "cpu", "--models", "mnist", "--batch-sizes", "1", "5", "--seconds", "0"])
    printed = capsys.readouterr()
    assert printed.err == ""
    methods = {tuple(cell.strip() for cell in line.split("|")[2:5]) for line in printed.out.splitlines()[4:-2]}
    assert methods == {
        (precision, method, size)
        for precision in ("float32", "float16")
        for method in ("run", "bound", "CUDA graph", "after another size", "service")
        for size in ("1", "5")
    }


def test_recorded_runs_give_the_time_to_an_accuracy(capsys):
    run = next(run for run in read_runs(LEDGER) if run.version and run.val_accuracies)
    highest = max(run.val_accuracies)
    epoch = run.val_accuracies.index(highest) + 1
    assert run.minutes_to(highest) == pytest.approx(run.minutes * epoch / run.epochs)
    assert run.minutes_to(1.01) is None
    training.main(["--model", "cifar10", "--recorded", "--until", "0.94"])
    assert re.search(r"seed 0, .*: 94.00% on validation after [\d.]+ of [\d.]+ minutes", capsys.readouterr().out)
