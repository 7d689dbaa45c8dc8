"""Metrics in memory, published to prometheus_client a few times per second.

Each change of a prometheus_client metric writes to a file that the workers share, and asks the operating system for the
process id. That cost a quarter of a small request. Here a change is an addition; use it on one thread only, the event
loop's.
"""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

PERIOD_S = 0.25  # between a change and its publication

logger = logging.getLogger("classifier")


class Buffered(Protocol):
    """A metric with changes that are not published yet."""

    def publish(self) -> None:
        """Pass the changes on to prometheus_client."""


class MetricsBuffer:
    """The metrics with changes that are not published yet."""

    def __init__(self) -> None:
        self._changed: list[Buffered] = []
        self._is_failing = False

    def add(self, metric: Buffered) -> None:
        """Publish a metric soon, or with the next call of ``publish`` if no event loop runs."""
        if not self._changed:
            with suppress(RuntimeError):  # no event loop runs
                asyncio.get_running_loop().call_later(PERIOD_S, self.publish)
        self._changed.append(metric)

    def publish(self) -> None:
        """Publish all changes.

        What cannot be published, for example because the disk is full, is lost. The first failure of several is logged.
        """
        changed, self._changed = self._changed, []
        failure: Exception | None = None
        for metric in changed:
            try:
                metric.publish()
            except Exception as error:
                failure = error
        if failure is not None and not self._is_failing:
            logger.error("metrics could not be published: %s", failure)
        self._is_failing = failure is not None


BUFFER = MetricsBuffer()  # of this process


class BufferedCounter:
    """A counter."""

    __slots__ = ("_counter", "_pending")

    def __init__(self, counter: Counter) -> None:
        self._counter, self._pending = counter, 0

    def inc(self, amount: int = 1) -> None:
        """Add ``amount``."""
        if not self._pending:
            BUFFER.add(self)
        self._pending += amount

    def publish(self) -> None:
        """Pass the changes on."""
        pending, self._pending = self._pending, 0
        self._counter.inc(pending)


class BufferedGauge:
    """A gauge."""

    __slots__ = ("_gauge", "_is_changed", "_value")

    def __init__(self, gauge: Gauge) -> None:
        self._gauge, self._value, self._is_changed = gauge, 0.0, False

    def set(self, value: float) -> None:
        """Set the value."""
        self._value = value
        if not self._is_changed:
            self._is_changed = True
            BUFFER.add(self)

    def publish(self) -> None:
        """Pass the value on."""
        self._is_changed = False
        self._gauge.set(self._value)


class BufferedHistogram:
    """A histogram with ascending upper bounds.

    prometheus_client has no public way to add several observations at once, so this uses ``_buckets`` and ``_sum`` of
    its histogram (docs/dependencies.md).
    """

    __slots__ = ("_bounds", "_counts", "_histogram", "_is_changed", "_sum")

    def __init__(self, histogram: Histogram, bounds: Sequence[float]) -> None:
        self._histogram, self._bounds = histogram, bounds
        self._counts = [0] * (len(bounds) + 1)  # of each bucket alone, the last without a bound
        self._sum = 0.0
        self._is_changed = False

    def observe(self, value: float) -> None:
        """Add an observation."""
        if not self._is_changed:
            self._is_changed = True
            BUFFER.add(self)
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def publish(self) -> None:
        """Pass the observations on."""
        self._is_changed = False
        total, self._sum = self._sum, 0.0
        self._histogram._sum.inc(total)
        for index, count in enumerate(self._counts):
            if count:
                self._counts[index] = 0
                self._histogram._buckets[index].inc(count)
