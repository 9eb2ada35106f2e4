"""People who sign in with amoCRM to a team's server whose replicas are processes, each step at another one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

import httpx2

from amo_mcp.sandbox import Sandbox
from amo_mcp.team.settings import CALLBACK_PATH
from tests.team.authorization.world import Attempt, form_of, query_of
from tests.team.replicas import PUBLIC_URL, SECONDS, Replica, Team

ADMIN, USER = 504141, 1002045
NAMES = {ADMIN: "Анна Зёрнова", USER: "user 1002045"}
REDIRECT = "http://127.0.0.1:1/cb"


def integration(sandbox: Sandbox, url: str = PUBLIC_URL) -> dict[str, str]:
    """The environment of a server whose people sign in, and the card of its integration."""
    sandbox.oauth.redirect_uri = url + CALLBACK_PATH
    return {"AMO_CLIENT_ID": sandbox.oauth.client_id, "AMO_CLIENT_SECRET": sandbox.oauth.client_secret}


class Front(httpx2.AsyncBaseTransport):
    """What is in front of the replicas: it gives each request to the next one."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._next = cycle(replicas)
        self._network = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        at = urlsplit(next(self._next).url)
        url = request.url.copy_with(scheme="http", host=at.hostname, port=at.port)
        sent = httpx2.Request(request.method, url, headers=request.headers, stream=request.stream)
        return await self._network.handle_async_request(sent)

    async def aclose(self) -> None:
        await self._network.aclose()


@asynccontextmanager
async def browser_of(replicas: Sequence[Replica]) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser, or a client, which reaches all replicas by one name."""
    mounts = {PUBLIC_URL: Front(replicas)}
    async with httpx2.AsyncClient(mounts=mounts, base_url=PUBLIC_URL, timeout=SECONDS, trust_env=False) as browser:
        yield browser


@dataclass
class SignedIn:
    """What a client has got."""

    client_id: str
    access: str
    refresh: str


async def sign_in(
    replicas: Sequence[Replica], user: int = ADMIN, *, code: str = "", scope: str = "segments:read segments:write"
) -> SignedIn:
    """A client that registers itself, and whose person signs in."""
    async with browser_of(replicas) as browser:
        client = (await browser.post("/register", json={"redirect_uris": [REDIRECT]})).json()
        asked: dict[str, Any] = {"client_id": client["client_id"], "redirect_uri": REDIRECT}
        attempt = Attempt(browser, scope, **asked, resource=f"{PUBLIC_URL}/mcp")
        form = form_of(await attempt.page(), answer="yes", code=code)
        sent = await browser.post("/consent", data=form, headers={"origin": PUBLIC_URL})
        back = query_of(await browser.get(await attempt.amocrm(sent, user)))
        assert back["iss"] == PUBLIC_URL
        given = (await attempt.exchange(back["code"])).json()
    return SignedIn(client["client_id"], given["access_token"], given["refresh_token"])


async def refresh(replicas: Sequence[Replica], known: SignedIn) -> httpx2.Response:
    """What a client is answered that refreshes its tokens."""
    asked = {"grant_type": "refresh_token", "client_id": known.client_id, "refresh_token": known.refresh}
    async with browser_of(replicas) as browser:
        return await browser.post("/token", data=asked)


def give_role(team: Team, user: int, role: str) -> None:
    team.run("people", "--name", NAMES[user], "--role", role)
