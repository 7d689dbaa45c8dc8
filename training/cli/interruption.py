"""Ctrl-C handling: the first requests an early finish, the second aborts the run."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self

NOTICE = b"\nstopping: publishing the best epoch so far; press Ctrl-C again to publish nothing\n"


class Interruption:
    """Context that counts SIGINT.

    The first one sets ``requested``; the second raises KeyboardInterrupt.
    """

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
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a third must not interrupt the cleanup
            raise KeyboardInterrupt
        self.requested = True
        os.write(2, NOTICE)  # unlike print, safe in a signal handler
