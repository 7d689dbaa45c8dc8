"""Metrics in memory and their publication."""

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.metrics_buffer import BUFFER, PERIOD_S, BufferedCounter, BufferedGauge, BufferedHistogram


def make(kind, buffered, *arguments, **options):
    """Return a buffered metric, and a function that returns its published samples."""
    registry = CollectorRegistry()
    metric = kind("x", "A metric.", registry=registry, **options)

    def read():
        samples = [sample for family in registry.collect() for sample in family.samples]
        return {(sample.name, sample.labels.get("le")): sample.value for sample in samples}

    return buffered(metric, *arguments), read


def test_changes_are_published_together():
    counter, read = make(Counter, BufferedCounter)
    counter.inc()
    counter.inc(3)
    assert read()["x_total", None] == 0
    BUFFER.publish()
    BUFFER.publish()
    assert read()["x_total", None] == 4


def test_gauge_has_its_last_value():
    gauge, read = make(Gauge, BufferedGauge)
    for value in (5, 2):
        gauge.set(value)
    BUFFER.publish()
    assert read()["x", None] == 2


def test_histogram_is_the_same_as_without_a_buffer():
    bounds = (0.1, 1, 10)
    histogram, read = make(Histogram, BufferedHistogram, bounds, buckets=bounds)
    plain, read_plain = make(Histogram, lambda metric: metric, buckets=bounds)
    for value in (0.05, 0.1, 0.5, 1, 1.5, 100):
        histogram.observe(value)
        plain.observe(value)
    BUFFER.publish()

    def without_time(samples):
        return {key: value for key, value in samples.items() if key[0] != "x_created"}

    assert without_time(read()) == without_time(read_plain())


def test_changes_are_published_after_a_period_on_an_event_loop():
    counter, read = make(Counter, BufferedCounter)
    BUFFER.publish()

    async def main():
        counter.inc()
        async with asyncio.timeout(60):
            while not read()["x_total", None]:
                await asyncio.sleep(PERIOD_S / 5)

    asyncio.run(main())


def test_failed_publication_is_logged_and_does_not_stop_later_ones(caplog):
    class Full:
        def inc(self, _amount):
            raise OSError("No space left on device")

    broken, (counter, read) = BufferedCounter(Full()), make(Counter, BufferedCounter)
    for _ in range(3):
        broken.inc()
        counter.inc()
        BUFFER.publish()
    assert caplog.text.count("metrics could not be published: No space left on device") == 1
    assert read()["x_total", None] == 3
