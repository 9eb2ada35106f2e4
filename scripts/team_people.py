"""The people of `make team-demo`: their browsers and their clients, which sign in by the sandbox's consent page."""

import html
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import cycle
from urllib.parse import parse_qsl, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from mcp_types import Implementation
from pydantic import AnyUrl
from typing_extensions import override

PUBLIC_URL = "https://crm.example.org"
"""The server's address as people have it; the proxy that would be there is in this process."""

_CALLBACK = "http://localhost:53211/callback"
_SECONDS = 60
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
_TAGS = re.compile(r"<[^>]+>")


class Proxy(httpx2.AsyncBaseTransport):
    """What is in front of some replicas: each request goes to the next one, by the name that it came for."""

    def __init__(self, *replicas: str) -> None:
        self._next = cycle(replicas)
        self._network = httpx2.AsyncHTTPTransport()

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        at = urlsplit(next(self._next))
        url = request.url.copy_with(scheme="http", host=at.hostname, port=at.port)
        sent = httpx2.Request(request.method, url, headers=request.headers, stream=request.stream)
        sent.extensions = request.extensions
        return await self._network.handle_async_request(sent)

    @override
    async def aclose(self) -> None:
        await self._network.aclose()


class Browser:
    """Somebody's browser. At amoCRM's consent page they allow everything as themselves.

    Args:
        user: who they are in amoCRM, by id.
        http: their network, with their cookies.
        code: what makes the first admin, if they have it.
    """

    def __init__(self, user: int, http: httpx2.AsyncClient, code: str = "") -> None:
        self._user = user
        self._http = http
        self._code = code
        self._page = httpx2.Response(200)
        self._at = ""

    @property
    def heading(self) -> str:
        """The heading of the page that is open."""
        return self._in("h1")[0]

    @property
    def buttons(self) -> list[str]:
        """What its buttons say."""
        return self._in("button")

    async def open(self, address: str) -> str:
        """Go to an address, sign in where that is asked for, and stop where it leads to, or out of this network."""
        self._at = str(httpx2.URL(PUBLIC_URL).join(address))
        while not self._at.startswith(_CALLBACK):
            self._page = await self._http.get(self._at)
            if self._page.is_redirect:
                self._at = self._answered(str(httpx2.URL(self._at).join(self._page.headers["location"])))
            elif urlsplit(self._at).path == "/consent":
                await self.press(answer="yes", **({"code": self._code} if self._code else {}))
            else:
                break
        return self._at

    async def press(self, **form: str) -> str:
        """Send the form of the page, and go where that leads."""
        fields = {name: html.unescape(value) for name, value in _HIDDEN.findall(self._main)}
        path = re.search(r'action="([^"]+)"', self._main)
        assert path
        origin = {"origin": PUBLIC_URL}
        answer = await self._http.post(f"{PUBLIC_URL}{path[1]}", data={**fields, **form}, headers=origin)
        assert answer.is_redirect, answer.text
        return await self.open(self._answered(str(httpx2.URL(self._at).join(answer.headers["location"]))))

    @property
    def _main(self) -> str:
        """The page without what is above it."""
        return self._page.text.partition("<main>")[2]

    def _answered(self, address: str) -> str:
        """At amoCRM's consent page: allowed, as that user."""
        is_consent = urlsplit(address).path == "/oauth" and not address.startswith(PUBLIC_URL)
        return f"{address}&sandbox_answer=allow&sandbox_user={self._user}" if is_consent else address

    def _in(self, tag: str) -> list[str]:
        found = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", self._main, re.DOTALL)
        return [html.unescape(_TAGS.sub("", text)) for text in found]


class _Tokens(TokenStorage):
    def __init__(self) -> None:
        self._tokens: OAuthToken | None = None
        self._client: OAuthClientInformationFull | None = None

    @override
    async def get_tokens(self) -> OAuthToken | None:
        return self._tokens

    @override
    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._tokens = tokens

    @override
    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._client

    @override
    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._client = client_info


class Someone:
    """Somebody with a browser and a client, which is signed in once and remembers it."""

    def __init__(self, user: int, *replicas: str, code: str = "") -> None:
        network = {PUBLIC_URL: Proxy(*replicas)}
        self.browser = Browser(user, httpx2.AsyncClient(mounts=network, timeout=_SECONDS, trust_env=False), code)
        self._back = ""
        metadata = OAuthClientMetadata(redirect_uris=[AnyUrl(_CALLBACK)], client_name="A client of the demo")
        self._auth = OAuthClientProvider(f"{PUBLIC_URL}/mcp", metadata, _Tokens(), self._open, self._wait)

    @asynccontextmanager
    async def client(self, replica: str) -> AsyncIterator[Client]:
        """Their client, whose requests all go to one replica."""
        network: Mapping[str, httpx2.AsyncBaseTransport] = {PUBLIC_URL: Proxy(replica)}
        async with (
            httpx2.AsyncClient(mounts=network, auth=self._auth, timeout=_SECONDS, trust_env=False) as http,
            Client(
                streamable_http_client(f"{PUBLIC_URL}/mcp", http_client=http),
                mode="2026-07-28",
                client_info=Implementation(name="team-demo", version="1"),
                cache=None,
            ) as client,
        ):
            yield client

    async def _open(self, address: str) -> None:
        self._back = await self.browser.open(address)

    async def _wait(self) -> AuthorizationCodeResult:
        said = dict(parse_qsl(urlsplit(self._back).query))
        return AuthorizationCodeResult(code=said["code"], state=said["state"], iss=said["iss"])
