"""Access to uvicorn's connection from ASGI: whether the client has left, and writing in one call."""

from collections.abc import Callable
from functools import partial
from typing import Any

from service.http.request import Message, Receive, Send


def client_left(receive: Receive) -> Callable[[], bool]:
    """Return a function that tells whether the client has disconnected.

    It reads an attribute of uvicorn's request, because awaiting ``receive`` would cost a task per request. Under
    another server it always returns False.
    """
    return partial(getattr, getattr(receive, "__self__", None), "disconnected", False)


async def send_at_once(send: Send, *messages: Message) -> None:
    """Send the messages of a response in one write; uvicorn would make two system calls.

    Under another server they are sent one by one.
    """
    request: Any = getattr(send, "__self__", None)
    transport = getattr(request, "transport", None)
    if transport is None:
        for message in messages:
            await send(message)
        return
    held = request.transport = _HeldTransport(transport)
    try:
        for message in messages:
            await send(message)
    finally:
        request.transport = transport
        held.flush()


class _HeldTransport:
    """Holds written bytes until it is flushed or closed."""

    __slots__ = ("_parts", "_transport", "write")

    def __init__(self, transport: Any) -> None:  # noqa: ANN401
        self._transport = transport
        self._parts: list[bytes] = []
        self.write = self._parts.append

    def flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> None:
        self.flush()
        self._transport.close()
