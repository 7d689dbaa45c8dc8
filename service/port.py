"""Check of the address that ``bentoml serve`` will listen on."""

import errno
import os
import socket

import click

HOST, PORT = "0.0.0.0", 3000  # BentoML's defaults  # noqa: S104
CONFIGURATION = {"BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS"}  # variables that can change the defaults


class PortError(RuntimeError):
    """The service cannot listen on its address."""


def check_port() -> None:
    """Check that the address of the running ``bentoml serve`` command is free.

    BentoML binds it after its deployment hooks, and ends with a traceback if that fails. Nothing is checked without a
    command line, or if BentoML has a configuration that can change the address.

    Raises:
        PortError: another process uses the port, or this process is not allowed to use it.
    """
    command = click.get_current_context(silent=True)
    if command is None or CONFIGURATION & os.environ.keys():
        return
    host, port = command.params.get("host") or HOST, command.params.get("port")
    port = PORT if port is None else port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as BentoML does: closed connections do not count
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                return  # BentoML names the cause
            raise PortError(
                f"cannot listen on {host}:{port}: {error.strerror}; stop the other process or choose another port "
                "with --port"
            ) from error
