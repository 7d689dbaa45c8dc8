"""Ctrl-C, twice: the first asks the run to finish with what it has, the second ends it."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self

NOTICE = b"\nfinishing with the best epoch so far; Ctrl-C again to publish nothing\n"


class Interruption:
    """While entered, the first SIGINT sets ``requested``; a further one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a third must not disturb the clearing up
            raise KeyboardInterrupt
        self.requested = True
        os.write(2, NOTICE)  # unlike print, safe in a signal handler
