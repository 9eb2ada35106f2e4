"""A socket that only this machine can reach."""

import socket

import pytest

from amo_mcp.listen import NotLoopback, authority, listen, listen_for_others


@pytest.mark.requirement("HTTP-2")
@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("localhost", "127.0.0.1"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
    ],
)
def test_a_loopback_address_is_listened_on(host: str, address: str) -> None:
    with listen(host, 0) as listener:
        name, _, port = authority(listener).rpartition(":")
        assert name == address
        socket.create_connection((address.strip("[]"), int(port))).close()


@pytest.mark.requirement("HTTP-2")
@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org", "localhost.", "ip6-localhost", ""]
)
def test_no_other_host_is_listened_on(host: str) -> None:
    with pytest.raises(NotLoopback):
        listen(host, 0)


def test_a_port_that_is_taken_is_an_error_and_leaves_no_socket() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.requirement("TEAM-1")
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost", "::1", "[::1]"])
def test_a_server_for_others_listens_on_any_address(host: str) -> None:
    with listen_for_others(host, 0) as listener:
        name, _, port = authority(listener).rpartition(":")
        socket.create_connection((name.strip("[]"), int(port))).close()


def test_an_address_that_this_machine_does_not_have_is_an_error() -> None:
    with pytest.raises(OSError, match="assign"):
        listen_for_others("192.0.2.1", 0)
