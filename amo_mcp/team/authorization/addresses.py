"""Where a client may be answered, and when two such addresses are the same."""

import re
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
"""Hosts of the person's own machine, as an address has them."""

APP_SCHEMES = ("claude", "cursor", "vscode", "vscode-insiders", "vscodium", "windsurf", "zed", "goose", "raycast")
"""Schemes by which a browser hands an answer to a program that is known to speak MCP."""

MAX_CHARACTERS = 2000

_PRINTABLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-f:]+\](:[0-9]{1,5})?", re.IGNORECASE)


def is_allowed(address: str) -> bool:
    """Whether a client may be answered at an address: https, http of the person's own machine, or a known program."""
    if len(address) > MAX_CHARACTERS or not _PRINTABLE.fullmatch(address) or "\\" in address:
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if parts.fragment or "#" in address or "@" in parts.netloc:
        return False
    if parts.scheme in APP_SCHEMES:
        return True
    if not _HOST.fullmatch(parts.netloc):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(address))


def is_loopback(address: str) -> bool:
    """Whether an address of http is on the person's own machine."""
    return _without_port(address)[1] in LOOPBACK


def matches(asked: str, registered: str) -> bool:
    """Whether an address is a registered one; on the person's own machine any port is (RFC 8252, section 7.3)."""
    if asked == registered:
        return True
    is_local = urlsplit(asked).scheme == "http" and is_loopback(asked) and is_allowed(asked)
    return is_local and _without_port(asked) == _without_port(registered)


def shown(address: str) -> str:
    """Where an address leads, as a person is told: a host, or the scheme of a program."""
    parts = urlsplit(address)
    return f"{parts.scheme}:" if parts.scheme in APP_SCHEMES else parts.netloc


def source(address: str) -> str:
    """An address as a source in a content security policy."""
    parts = urlsplit(address)
    return f"{parts.scheme}:" if parts.scheme in APP_SCHEMES else f"{parts.scheme}://{parts.netloc}"


def _without_port(address: str) -> tuple[str, str, str, str]:
    parts = urlsplit(address)
    return parts.scheme, re.sub(r":[0-9]*$", "", parts.netloc), parts.path, parts.query
