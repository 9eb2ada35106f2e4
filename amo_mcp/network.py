"""The way to the network as the machine's environment describes it: proxies, and certificates of one's own.

The HTTP library takes both from the environment. This module says which, and what is wrong with them, without it: no
sentence contains a proxy's password.
"""

import os
from typing import NamedTuple
from urllib.parse import urlsplit

_SCHEMES = ("http", "https", "socks5", "socks5h")
_CERTIFICATE = b"-----BEGIN "
_MAX_CERTIFICATES = 16 * 1024 * 1024


class Proxy(NamedTuple):
    """A proxy, fit to be shown.

    Attributes:
        address: its scheme, host and port; empty where it is not an address.
        source: the variable that names it, or "the system's settings".
    """

    address: str
    source: str


def proxy_to(base_url: str) -> Proxy | None:
    """The proxy that requests to `base_url` go through; None when they go directly."""
    # Takes long to import, and is asked for by a person or after a failure.
    from urllib.request import getproxies, proxy_bypass

    target, proxies = urlsplit(base_url), getproxies()
    kind = target.scheme if proxies.get(target.scheme) else "all"
    if not proxies.get(kind) or proxy_bypass(target.netloc):
        return None
    return Proxy(_address(proxies[kind]), _variable(kind) or "the system's settings")


def problems() -> list[str]:
    """A sentence for each variable of the environment that no request could be sent with, beginning with its name."""
    wrong = [
        f"{name} must be the address of a proxy, such as http://proxy.example.com:3128 or socks5://127.0.0.1:1080"
        for name in map(_variable, ("http", "https", "all"))
        if name and not _address(os.environ[name])
    ]
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file and not _has_certificates(file):
        wrong.append("SSL_CERT_FILE must be a file with certificates (PEM) that can be read")
    if folder and not file and not os.path.isdir(folder):
        wrong.append("SSL_CERT_DIR must be a folder with certificates")
    return wrong


def _address(proxy: str) -> str:
    """A proxy's scheme, host and port; empty when it has another form than the HTTP library takes."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}" if host and parts.scheme in _SCHEMES else ""


def _variable(kind: str) -> str | None:
    """The variable that names the proxy of this kind, as it is written; the one in lower case counts first."""
    name = f"{kind}_proxy"
    return next((variable for variable in (name, name.upper()) if os.environ.get(variable)), None)


def _has_certificates(file: str) -> bool:
    try:
        with open(file, "rb") as certificates:
            return _CERTIFICATE in certificates.read(_MAX_CERTIFICATES)
    except OSError:
        return False
