"""Write coalescing: the small responses of one event-loop iteration are written together."""

import asyncio

MAX_HELD = 256  # responses; writing them applies back pressure to clients that do not read


class CoalescedWrites:
    """Responses that are held until the end of an event-loop iteration.

    The first write already wakes the client, so writing each response at once would cost both sides more.
    """

    def __init__(self) -> None:
        self._held: list[tuple[asyncio.Transport, bytes]] = []

    @property
    def num_held(self) -> int:
        """The number of responses that are not written yet."""
        return len(self._held)

    def write_soon(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, response: bytes) -> None:
        """Write a response at the end of the event-loop iteration."""
        if not self._held:
            loop.call_soon(self.flush)
        self._held.append((transport, response))
        if len(self._held) >= MAX_HELD:
            self.flush()

    def flush(self) -> None:
        """Write the held responses; call it before any other write, to keep the order."""
        held = self._held.copy()
        self._held.clear()
        for transport, response in held:
            if not transport.is_closing():
                transport.write(response)
