"""Everything that the service uses of uvicorn's internals; docs/dependencies.md lists them.

uvicorn has no setting for single writes, for disconnects without a task, or for an event loop and a connection class
when another program starts it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from uvicorn.config import HTTP_PROTOCOLS, LOOP_FACTORIES
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.http.request import Message, Receive, Send

__all__ = ["STATUS_LINE", "HttpToolsProtocol", "client_left", "register", "send_at_once"]


def register(*, protocol: str, loop_factory: str) -> None:
    """Make uvicorn use a connection class and an event loop, each given as ``module:name``.

    Call it before uvicorn starts in this process.
    """
    HTTP_PROTOCOLS["auto"] = protocol
    LOOP_FACTORIES["auto"] = loop_factory  # on Windows, BentoML requests asyncio's


def client_left(receive: Receive) -> Callable[[], bool]:
    """Return a function that checks whether the client has disconnected.

    It reads an attribute of uvicorn's request, because awaiting ``receive`` would cost a task per request. With
    other servers it always returns False.
    """
    return partial(getattr, getattr(receive, "__self__", None), "disconnected", False)


async def send_at_once(send: Send, *messages: Message) -> None:
    """Send the messages of a response in one write.

    uvicorn would make two system calls. With other servers the messages are sent one by one.
    """
    request: Any = getattr(send, "__self__", None)
    transport = getattr(request, "transport", None)
    if transport is None:
        for message in messages:
            await send(message)
        return
    buffered = request.transport = _BufferedTransport(transport)
    try:
        for message in messages:
            await send(message)
    finally:
        request.transport = transport
        buffered.flush()


class _BufferedTransport:
    """A transport that buffers writes until it is flushed or closed."""

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
