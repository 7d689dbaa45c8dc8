"""Tests of benchmarks/generators.py without running a generator."""

import pytest

from benchmarks.generators import GeneratorError, form, parse_h2load, parse_wrk, run_generator
from benchmarks.measurements import Measurement
from service.http.multipart import parse

WRK_PRINTED = """
  Latency Distribution
     50%  500.00us
     75%    1.00ms
     99%    1.20s
  104 requests in 0.87m, 2.13MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 14
"""


def test_parse_wrk_converts_units():
    load = parse_wrk(WRK_PRINTED)
    assert (load.successes, load.errors) == (90, 14 + 3)
    assert load.seconds == pytest.approx(52.2)
    assert (load.p50_ms, load.p99_ms) == (pytest.approx(0.5), pytest.approx(1200))


def test_parse_wrk_rejects_other_output():
    with pytest.raises(GeneratorError, match="unexpected"):
        parse_wrk("no such thing")


def test_parse_h2load_counts_requests_sent_after_settling():
    rows = [
        ("1000000", "200", "1000"),
        ("1900000", "503", "9000000"),  # too early
        ("2000000", "503", "2000"),
        ("3500000", "-1", "9"),
        ("5900000", "200", "1000000"),  # a late response counts
        ("6000000", "200", "1000"),  # too late
    ]
    load = parse_h2load(rows, seconds=4, settling_s=1)
    assert (load.rate(200), load.count(503), load.total) == (0.25, 1, 3)
    assert (load.milliseconds[503], load.milliseconds[200]) == ([2.0], [1000.0])


def test_parse_h2load_rejects_an_empty_log():
    with pytest.raises(GeneratorError, match="no requests"):
        parse_h2load([], seconds=4)


def test_rejection_target_is_missed_without_rejections():
    load = parse_h2load([("0", "200", "1"), *[("20000000", "200", "1000")] * 2], seconds=30)
    assert not Measurement(name="p99 latency of 503 responses", values=[load.p99_ms(503)], target=50).is_met


def test_missing_generator_is_reported_with_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GeneratorError, match="wrk is not installed; on Debian: apt-get install wrk"):
        run_generator(["wrk"])


def test_form_is_parsed_to_the_same_parts():
    body = form("images", [b"one", b"two"])
    parts = parse(body.content, body.content_type.encode(), max_parts=2)
    assert [(part.name, bytes(part.content)) for part in parts] == [("images", b"one"), ("images", b"two")]
