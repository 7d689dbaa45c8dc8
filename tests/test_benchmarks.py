"""Every server of the comparison answers, and the generators see what is sent; how fast is no test's business."""

import shutil

import httpx
import pytest

from benchmarks.cost import DIGIT, photograph
from benchmarks.figures import Cost, Figure, draw_costs, render_costs, render_figures
from benchmarks.generators import Body, GeneratorError, form, load_closed, load_open, run
from benchmarks.servers import FLOOR, OURS, PEERS, Server, ServerError, served

NEEDS_GENERATORS = pytest.mark.skipif(
    shutil.which("wrk") is None or shutil.which("h2load") is None, reason="wrk or h2load is not installed"
)


@pytest.mark.parametrize("server", [FLOOR, OURS, *PEERS], ids=lambda server: server.name)
def test_every_server_of_the_comparison_reads_the_digit(server):
    bodies = [Body(content=DIGIT.read_bytes())] if server.raw else []
    bodies += [form(server.field, [DIGIT.read_bytes()])] if server is not FLOOR else []
    with served(server) as running:
        assert running.cpu_s() > 0
        assert running.memory_mib() > 20
        for body in bodies:
            url = running.url(server.classify.format(model="mnist"))
            answer = httpx.post(url, content=body.content, headers={"content-type": body.content_type}, timeout=30)
            found = answer.raise_for_status().json()
            assert (found[0] if isinstance(found, list) else found)["label"] == "7"


@NEEDS_GENERATORS
def test_the_generators_count_answers_and_errors():
    good, bad = Body(content=DIGIT.read_bytes()), Body(content=b"no image")
    with served(OURS) as running:
        url = running.url("/v1/models/mnist/classify")
        closed, refused = (load_closed(url, body, connections=2, seconds=1) for body in (good, bad))
        opened = load_open(url, good, rate=50, connections=5, seconds=1)
    assert closed.requests > 0
    assert closed.errors == 0
    assert 0 < closed.p50_ms <= closed.p99_ms
    assert refused.errors == refused.requests > 0
    assert set(opened.milliseconds) == {200}
    assert 25 <= len(opened.milliseconds[200]) <= 75
    assert opened.p99_ms(200) > 0


def test_a_server_that_does_not_start_is_named():
    broken = Server(name="broken", command=["false"], classify="/", ready="/")
    with pytest.raises(ServerError, match="broken ended with 1"), served(broken):
        pass


def test_a_generator_that_is_missing_is_named_with_its_package():
    with pytest.raises(GeneratorError, match="no-such-generator"):
        run(["no-such-generator"])


def test_a_form_is_read_back_as_it_was_made():
    body = form("images", [b"one", b"two"])
    request = httpx.Request("POST", "http://test", content=body.content, headers={"content-type": body.content_type})
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert body.content.count(b'name="images"') == 2
    assert body.content.index(b"one") < body.content.index(b"two")


def test_a_figure_is_met_or_missed_by_its_median():
    most = Figure(name="at most", values=[1.0, 3.0, 1.2], target=2)
    least = Figure(name="at least", values=[1.0, 3.0, 1.2], target=2, at_least=True)
    assert (most.is_met, least.is_met) == (True, False)
    table = render_figures([most, least])
    assert "| at most | 1.2 | 3, 1 to 3 | ≤ 2 | met |" in table
    assert "| at least | 1.2 | 3, 1 to 3 | ≥ 2 | MISSED |" in table


def test_servers_are_shown_from_the_cheapest(tmp_path):
    costs = [
        Cost(server=name, body="raw", cpu_us=us, rate=1e6 / us, p50_ms=1, p99_ms=2, errors=0, memory_mib=9, ready_s=1)
        for name, us in (("dear", 900.0), ("this service", 150.0))
    ]
    lines = render_costs(costs).splitlines()
    assert lines[2].startswith("| this service | raw | 150 µs | 6,667 | 1.0 ms | 2.0 ms | 0 | 9 MiB |")
    assert lines[3].startswith("| dear | raw | 900 µs |")
    draw_costs(tmp_path / "costs.png", costs, title="made up")
    assert (tmp_path / "costs.png").stat().st_size > 10_000


def test_the_photograph_is_as_large_as_a_cameras():
    assert 1_000_000 < len(photograph()) < 4_000_000
