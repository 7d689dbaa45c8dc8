"""Check of the address before the start."""

import socket
from contextlib import ExitStack, closing, contextmanager, suppress

import click
import pytest

from service.port import PortError, check_port


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch):
    monkeypatch.delenv("BENTOML_CONFIG", raising=False)
    monkeypatch.delenv("BENTOML_CONFIG_OPTIONS", raising=False)


@contextmanager
def command(**options):
    """Run the block as a command with these options."""
    with click.Context(click.Command("serve")) as context:
        context.params = options
        yield


@contextmanager
def used_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_port_in_use_is_an_error():
    message = "cannot listen on 127.0.0.1:{}: Address already in use; .*--port"
    with (
        used_port() as port,
        command(host="127.0.0.1", port=port),
        pytest.raises(PortError, match=message.format(port)),
    ):
        check_port()


def test_port_is_free_when_only_closed_connections_remain():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = server.getsockname()
        with closing(socket.create_connection(address)):
            server.accept()[0].close()  # closed first, so the connection stays in TIME_WAIT
    with command(host="127.0.0.1", port=address[1]):
        check_port()


def test_default_address_is_that_of_bentoml():
    with ExitStack() as stack:
        with suppress(OSError):  # another program may use it
            stack.enter_context(closing(socket.create_server(("", 3000))))
        stack.enter_context(command(host=None, port=None))
        with pytest.raises(PortError, match=r"cannot listen on 0\.0\.0\.0:3000"):
            check_port()


def test_port_is_not_checked_without_a_command_line():
    check_port()


@pytest.mark.parametrize("variable", ["BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS"])
def test_port_is_not_checked_with_a_configuration(monkeypatch, variable):
    monkeypatch.setenv(variable, "elsewhere")
    with used_port() as port, command(host="127.0.0.1", port=port):
        check_port()
