"""Addresses of servers: what is one, and which of them a token may be sent to."""

import re
from ipaddress import ip_address

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""One part of a host's name, as a pattern."""

_VENDOR_DOMAINS = (".amocrm.ru", ".amocrm.com", ".kommo.com")
_ADDRESS = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{LABEL}(\.{LABEL})*|\[[0-9a-f:]+\])(:(?P<port>[0-9]{{1,5}}))?/?",
    re.IGNORECASE | re.ASCII,
)
_PORTS = range(1, 65536)


def allowed_base_url(address: str, allowed_hosts: tuple[str, ...]) -> str:
    """`address` as a base URL (lower case, no slash at its end), when a token may be sent there.

    Plain http is for loopback only; any other host must be https under the vendor's domains, or be named in
    `allowed_hosts`.

    Raises:
        ValueError: it may not.
    """
    match = _ADDRESS.fullmatch(address.strip())
    if not match or not is_address(address.strip()):
        raise ValueError(
            "AMO_BASE_URL must be an address such as https://example.amocrm.ru, with nothing after the host"
        )
    base_url = address.strip().rstrip("/").lower()
    host = match["host"].strip("[]").lower()
    if is_loopback(base_url):
        return base_url
    if match["scheme"].lower() != "https":
        raise ValueError("AMO_BASE_URL must begin with https: plain http is for loopback only")
    if host not in allowed_hosts and not host.endswith(_VENDOR_DOMAINS):
        raise ValueError(
            "AMO_BASE_URL must be under amocrm.ru, amocrm.com or kommo.com, or its host be named in AMO_ALLOWED_HOSTS"
        )
    return base_url


def is_address(value: str) -> bool:
    """Whether a value is an address of http or https with nothing after its host and port."""
    match = _ADDRESS.fullmatch(value)
    return match is not None and int(match["port"] or 1) in _PORTS


def is_loopback(base_url: str) -> bool:
    """Whether a base URL is on this machine."""
    match = _ADDRESS.fullmatch(base_url)
    host = match["host"].strip("[]").lower() if match else ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
