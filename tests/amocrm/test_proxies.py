"""Requests go through the proxies of the environment, SOCKS included; one that does not work is named."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from amo_mcp.amocrm.errors import Unavailable
from amo_mcp.amocrm.tokens import LongLivedToken
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from tests.amocrm.answering import opened

pytestmark = pytest.mark.anyio

ACCOUNT = "/api/v4/account"
SHOP = "http://shop.amocrm.test"
"""A host that nothing but a proxy can find."""


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Socks:
    """A SOCKS5 server (RFC 1928) that leads every name to one address, and remembers the names."""

    def __init__(self, target: str) -> None:
        self.names: list[str] = []
        self._target = (urlsplit(target).hostname, urlsplit(target).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._serve)]
        self._sockets: list[socket.socket] = []
        self.address = f"socks5://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        method = client.recv(512)[-1:]
        client.sendall(b"\x05" + method)
        if method == b"\x02":  # a user and a password, any
            client.recv(512)
            client.sendall(b"\x01\x00")
        request = client.recv(512)
        self.names.append(request[5 : 5 + request[4]].decode())
        client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        upstream = socket.create_connection(self._target)
        self._sockets.append(upstream)
        for pair in ((client, upstream), (upstream, client)):
            thread = threading.Thread(target=pump, args=pair)
            self._threads.append(thread)
            thread.start()


@contextmanager
def socks(target: str) -> Iterator[Socks]:
    made = Socks(target)
    try:
        yield made
    finally:
        made.close()


async def account_through(proxy: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The id of the account that is found through the proxy of the environment."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    async with opened(SHOP, tokens=LongLivedToken(SecretStr(ADMIN_TOKEN))) as session:
        return int((await session.request("GET", ACCOUNT))["id"])


@pytest.mark.requirement("ENV-10")
@pytest.mark.parametrize("scheme", ["socks5://", "socks5h://", "socks5://user:secret@"])
async def test_a_socks_proxy_of_the_environment_is_gone_through_and_finds_the_host_itself(
    scheme: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(sandbox) as url, socks(url) as proxy:
        address = proxy.address.replace("socks5://", scheme)
        assert await account_through(address, monkeypatch) == sandbox.account.id
        assert proxy.names == ["shop.amocrm.test"]


@pytest.mark.requirement("ENV-8", "ENV-10")
async def test_a_proxy_that_does_not_listen_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with socks(SHOP) as proxy:
        address = proxy.address
    with pytest.raises(Unavailable) as caught:
        await account_through(address.replace("//", "//user:secret@"), monkeypatch)
    assert caught.value.reason == (
        f"could not be reached through the proxy {address} (ALL_PROXY); check the address and the network"
    )


@pytest.mark.requirement("ENV-10")
@pytest.mark.parametrize(
    ("name", "value"), [("HTTP_PROXY", "socks4://a"), ("SSL_CERT_FILE", "/nowhere/certificates.pem")]
)
async def test_what_breaks_only_once_it_is_served_is_named_too(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    async with opened("https://shop.amocrm.test") as session:
        with pytest.raises(Unavailable) as caught:
            await session.request("GET", ACCOUNT)
    assert caught.value.reason.startswith(f"could not be reached; {name} must be ")
