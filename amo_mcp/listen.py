"""A socket that listens on a loopback address."""

import socket
from ipaddress import ip_address


class NotLoopback(Exception):
    """The address is not this machine's own."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on a loopback address; port 0 means any free port.

    Raises:
        NotLoopback: `host` is neither a loopback address nor `localhost`.
        OSError: it cannot be listened on.
    """
    address = _loopback_address(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # The protocol is named: asyncio switches Nagle's algorithm off for named TCP only, and it costs 44 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _loopback_address(host: str) -> str:
    """Names other than `localhost` are not looked up: who answers could answer otherwise the next time."""
    address = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        if ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise NotLoopback(host)
