"""Documents of clients are fetched from the public internet alone, and little of it."""

import json
from collections.abc import Sequence

import anyio
import pytest
from anyio.abc import ByteStream

from amo_mcp.team.authorization import fetch as fetching
from amo_mcp.team.authorization.clients import Clients
from amo_mcp.team.authorization.fetch import MAX_BYTES, CannotFetch, fetch
from tests.team.authorization.world import CIMD, DOCUMENT, Attempt, World

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"


class Site(ByteStream):
    """The other end of a connection, which sends what it was given."""

    def __init__(self, answer: bytes, *, waits: bool = False) -> None:
        self.sent, self._answer, self._waits = b"", answer, waits

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self._waits:
            await anyio.sleep_forever()
        if not self._answer:
            raise anyio.EndOfStream
        part, self._answer = self._answer[:max_bytes], self._answer[max_bytes:]
        return part

    async def send(self, item: bytes) -> None:
        self.sent += item

    async def send_eof(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class Network:
    """A resolver and what can be connected to; each look at a name gives the next addresses."""

    def __init__(self, site: Site, *addresses: Sequence[str]) -> None:
        self.site, self.addresses, self.connected = site, list(addresses) or [[PUBLIC]], list[tuple[str, str]]()

    async def resolve(self, host: str) -> Sequence[str]:
        return self.addresses.pop(0)

    async def connect(self, address: str, host: str) -> ByteStream:
        self.connected.append((address, host))
        return self.site

    async def fetch(self, url: str = CIMD) -> bytes:
        return await fetch(url, resolve=self.resolve, connect=self.connect)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]).encode() + body


@pytest.mark.requirement("TEAM-21")
async def test_the_document_is_fetched_from_the_address_that_was_looked_at() -> None:
    network = Network(Site(http(b"{}")), [PUBLIC], ["127.0.0.1"])
    assert await network.fetch(f"{CIMD}?a=b") == b"{}"
    assert network.connected == [(PUBLIC, "client.example.com")]
    assert network.site.sent == (
        b"GET /mcp.json?a=b HTTP/1.1\r\nhost: client.example.com\r\naccept: application/json\r\n"
        b"accept-encoding: identity\r\nconnection: close\r\n\r\n"
    )


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:93.184.215.14", "64:ff9b::7f00:1"),
        *("2002:7f00:1::", "2001::1", "ff02::1", "255.255.255.255", "192.0.2.1"),
        *("192.0.0.192", "168.63.129.16", "192.88.99.1", "3fff::1"),
    ],
)
async def test_no_address_but_a_public_one_is_connected_to(address: str) -> None:
    network = Network(Site(http(b"{}")), [PUBLIC, address])
    with pytest.raises(CannotFetch, match="not on the public internet"):
        await network.fetch()
    assert network.connected == []


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize(
    "url",
    [
        "http://client.example.com/a",
        "https://client.example.com",
        "https://client.example.com/",
        "https://client.example.com:8443/a",
        "https://user@client.example.com/a",
        "https://client.example.com/a#b",
        "https://client.example.com/../a",
        "https://localhost/a",
        "https://93.184.215.14/a",
        "https://[::1]/a",
        "https://[::1",
        "https://ex\u2100mple.com/a",
        "https://client.example.com/a b",
        "https://CLIENT.example.com/a",
        "ftp://client.example.com/a",
        "file:///etc/passwd",
    ],
)
async def test_what_is_no_address_of_a_document_is_not_asked_for(url: str) -> None:
    network = Network(Site(http(b"{}")))
    with pytest.raises(CannotFetch):
        await network.fetch(url)
    assert (network.connected, network.addresses) == ([], [[PUBLIC]])


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(b"", "302 Found", "location: http://169.254.169.254/"), "the status is 302"),
        (http(b"", "404 Not Found"), "the status is 404"),
        (http(b"a" * (MAX_BYTES + 1)), f"it has more than {MAX_BYTES} bytes"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "RemoteProtocolError"),
        (b"garbage\r\n\r\n", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
    ],
)
async def test_a_redirect_and_what_is_no_document_are_refused(answer: bytes, reason: str) -> None:
    with pytest.raises(CannotFetch, match=reason):
        await Network(Site(answer)).fetch()


@pytest.mark.requirement("TEAM-21")
async def test_a_slow_site_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.01)
    with pytest.raises(CannotFetch, match="took too long"):
        await Network(Site(b"", waits=True)).fetch()


async def test_a_name_that_cannot_be_resolved_is_refused() -> None:
    with pytest.raises(CannotFetch):
        await fetch("https://nowhere.invalid/a")


@pytest.mark.requirement("TEAM-21")
@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "https://other.example.com/mcp.json"},
        {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": []},
        {"redirect_uris": None},
        {"token_endpoint_auth_method": "client_secret_post"},
        {"client_secret": "known to all"},
        {"redirect_uris": [f"https://a.example/{number}" for number in range(11)]},
    ],
)
async def test_a_document_that_asks_for_more_than_a_client_gets_is_refused(
    world: World, wrong: dict[str, object]
) -> None:
    world.documents[CIMD] = json.dumps(DOCUMENT | wrong).encode()
    async with world.browser() as browser:
        page = await Attempt(browser).authorize()
    assert (page.status_code, "does not know the program" in page.text) == (400, True)


@pytest.mark.requirement("TEAM-21")
async def test_a_document_is_kept_and_asked_for_again_after_an_hour(world: World) -> None:
    clients = Clients(world.store, world.fetch, lambda: world.clock.now)
    for _ in range(3):
        assert await clients.get(CIMD)
    assert len(world.fetched) == 1
    world.clock.now += 3600
    document = world.documents.pop(CIMD)
    known = await clients.get(CIMD)
    assert (known is not None, len(world.fetched)) == (True, 2)
    assert await clients.get(CIMD) is not None
    assert len(world.fetched) == 2, "what could not be fetched is left alone for a minute"
    world.clock.now += 8 * 86_400
    assert await clients.get(CIMD) is None
    world.documents[CIMD] = document
    world.clock.now += 60
    assert await clients.get(CIMD) is not None
