"""A client's document, from the address that is its id (CIMD): fetched so that nobody can use that to look around here.

https alone, at the usual port; public addresses alone, looked at after the name was resolved, and the connection goes
to the very address that was looked at, whatever the name says next. No redirect is followed, no proxy is used, and time
and size are bounded.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

import anyio
import h11
from anyio.abc import ByteStream

MAX_BYTES = 16 * 1024
"""Bytes of a document; those that are known have less than one kilobyte."""

SECONDS = 5.0
"""Seconds that all of it may take."""

_PORT = 443
_CHUNK = 4096
_PUBLIC = IPv6Network("2000::/3")
_SPECIAL = tuple(map(IPv6Network, ("2001::/23", "2002::/16", "3ffe::/16", "3fff::/20"))) + tuple(
    map(IPv4Network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24"))
)
"""Addresses that carry another one inside, and what older releases of Python, or all, take for public and is not: among
them where clouds answer their machines (Azure's 168.63.129.16, Oracle's 192.0.0.192)."""

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Gives the addresses of a name."""

Connect = Callable[[str, str], Awaitable[ByteStream]]
"""Connects to an address, by TLS for a name."""


class CannotFetch(Exception):
    """There is no document to be had; the text says why, for the log."""


async def resolve(host: str) -> Sequence[str]:
    """The addresses of a name, as the system has them."""
    found = await anyio.getaddrinfo(host, _PORT, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]


async def connect(address: str, host: str) -> ByteStream:
    """A connection to an address, whose certificate is for `host`."""
    return await anyio.connect_tcp(address, _PORT, ssl_context=ssl.create_default_context(), tls_hostname=host)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, and leads nowhere else."""
    ip = ip_address(address)
    is_unicast = ip in _PUBLIC if ip.version == 6 else not ip.is_multicast
    return is_unicast and ip.is_global and not any(ip in network for network in _SPECIAL)


def is_fetchable(url: str) -> bool:
    """Whether an id is an address that a document may be fetched from."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    segments = parts.path.split("/")
    return (
        parts.scheme == "https"
        and url == parts.geturl()
        and parts.netloc == host
        and "." in host
        and not host.replace(".", "").isdigit()
        and len(parts.path) > 1
        and not {".", ".."} & {*segments}
        and not parts.fragment
        and url.isascii()
        and url.isprintable()
        and " " not in url
    )


async def fetch(url: str, *, resolve: Resolve = resolve, connect: Connect = connect) -> bytes:
    """The document at an address.

    Raises:
        CannotFetch: there is none to be had, or it is not to be asked for.
    """
    if not is_fetchable(url):
        raise CannotFetch("it is no address of a document")
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        with anyio.fail_after(SECONDS):
            addresses = await resolve(host)
            if not addresses or not all(map(is_public, addresses)):
                raise CannotFetch("its host is not on the public internet")
            async with await connect(addresses[0], host) as stream:
                return await _get(stream, host, parts.path + (f"?{parts.query}" if parts.query else ""))
    except TimeoutError:
        raise CannotFetch("it took too long") from None
    except (OSError, ValueError, anyio.BrokenResourceError, anyio.EndOfStream, h11.ProtocolError) as error:
        raise CannotFetch(type(error).__name__) from error


async def _get(stream: ByteStream, host: str, target: str) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    headers = [("host", host), ("accept", "application/json"), ("accept-encoding", "identity"), ("connection", "close")]
    await stream.send(connection.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
    await stream.send(connection.send(h11.EndOfMessage()) or b"")
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            try:
                connection.receive_data(await stream.receive(_CHUNK))
            except anyio.EndOfStream:
                connection.receive_data(b"")
        elif isinstance(event, h11.Response) and event.status_code != HTTPStatus.OK:
            raise CannotFetch(f"the status is {event.status_code}")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BYTES:
                raise CannotFetch(f"it has more than {MAX_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
