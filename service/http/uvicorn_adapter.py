"""Everything that the service uses of uvicorn's internals; docs/dependencies.md lists them.

BentoML starts uvicorn and has no setting for the event loop and the connection class.
"""

from uvicorn.config import HTTP_PROTOCOLS, LOOP_FACTORIES, Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

__all__ = ["STATUS_LINE", "Config", "HttpToolsProtocol", "ServerState", "register"]


def register(*, protocol: str, loop_factory: str) -> None:
    """Make uvicorn use a connection class and an event loop, each given as ``module:name``.

    Call it before uvicorn starts in this process.
    """
    HTTP_PROTOCOLS["auto"] = protocol
    LOOP_FACTORIES["auto"] = loop_factory  # on Windows, BentoML requests asyncio's
