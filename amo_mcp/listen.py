"""A socket to listen on: of this machine alone, or for others too."""

import os
import socket
from ipaddress import ip_address


class NotLoopback(Exception):
    """The address is not this machine's own."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on a loopback address: `localhost`, an IPv4 address, or an IPv6 one with or without [].

    Args:
        host: the address; any other name is not looked up, since it could be another address the next time.
        port: 0 means any free port.

    Raises:
        NotLoopback: `host` is not loopback.
        OSError: it cannot be listened on.
    """
    return _bound(_loopback_address(host), port)


def listen_for_others(host: str, port: int) -> socket.socket:
    """A socket that listens on any address of this machine, which other machines may reach: a name or an address.

    Raises:
        OSError: it cannot be listened on, or is not known.
    """
    *_, (address, *_) = socket.getaddrinfo(host.removeprefix("[").removesuffix("]"), port, type=socket.SOCK_STREAM)[0]
    return _bound(str(address), port)


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # The protocol is named: asyncio switches Nagle's algorithm off for named TCP only, and it costs 44 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # On Windows this would let another program take the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def authority(listener: socket.socket) -> str:
    """Host and port of a socket as a URL has them, such as `127.0.0.1:8000` or `[::1]:8000`."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _loopback_address(host: str) -> str:
    address = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        if ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise NotLoopback(host)
