"""Periodic check of all connections of a worker, instead of timers per connection and per request."""

import asyncio
from typing import Protocol

LONGEST_PERIOD_S = 0.5


class Checked(Protocol):
    """A connection."""

    def check(self, now: float) -> None:
        """Act on timeouts that have passed at ``now``, seconds of the event loop's clock."""


class Timeouts:
    """Checks every open connection several times per shortest timeout."""

    def __init__(self, shortest_s: float) -> None:
        self._period_s = min(LONGEST_PERIOD_S, shortest_s / 4)
        self._connections: set[Checked] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Checked, loop: asyncio.AbstractEventLoop) -> None:
        """Check a connection from now on."""
        self._connections.add(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._period_s, self._check_all, loop)

    def discard(self, connection: Checked) -> None:
        """Stop checking a connection; the timer ends with the last one."""
        self._connections.discard(connection)
        if not self._connections and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_all(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self._period_s, self._check_all, loop)
        now = loop.time()
        for connection in tuple(self._connections):
            connection.check(now)
