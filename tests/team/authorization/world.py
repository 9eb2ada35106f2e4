"""A team's server at two replicas, of which each request reaches the other one than the last, beside a sandbox.

A browser and a client of its person have one network: the server, amoCRM's own site, and the account.
"""

import base64
import hashlib
import html
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.keys import Keys
from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.memory.rate_limit import Unlimited
from amo_mcp.storage.postgres.authorization import PostgresAuthorizationStore
from amo_mcp.storage.postgres.browsers import PostgresBrowserStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.team.authorization.build import authorization_server
from amo_mcp.team.authorization.fetch import CannotFetch
from amo_mcp.team.authorization.identity import Identity, Integration
from amo_mcp.team.browser import CookieBrowsers
from amo_mcp.team.gate import Gate, security_of
from amo_mcp.team.people import Role
from amo_mcp.team.settings import CALLBACK_PATH
from amo_mcp.team.sign_in import SignIn
from amo_mcp.transports.http import HttpApp
from tests.clock import Clock
from tests.team.environment import KEY
from tests.team.in_turn import InTurn
from tests.transports.peers import INITIALIZE, TestServer

URL = "https://crm.example.org"
ACCOUNT = "https://example.amocrm.ru"
CIMD = "https://client.example.com/mcp.json"
CALLBACK = "http://localhost:53211/callback"
ADMIN, USER = "28805383:504141", "28805383:1002045"
ACCEPT = {"accept": "application/json, text/event-stream"}
DOCUMENT: dict[str, Any] = {
    "client_id": CIMD,
    "client_name": "Claude Code",
    "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
    "token_endpoint_auth_method": "none",
    "grant_types": ["authorization_code", "refresh_token"],
}


@dataclass
class World:
    """All of it.

    Attributes:
        documents: what is at the addresses of clients.
        fetched: the addresses that were asked for.
        kept: who has allowed what.
    """

    sandbox: Sandbox
    database: Database
    store: PostgresAuthorizationStore
    people: PostgresPeopleStore
    clock: Clock
    network: dict[str, httpx2.AsyncBaseTransport]
    documents: dict[str, bytes] = field(default_factory=lambda: {CIMD: json.dumps(DOCUMENT).encode()})
    fetched: list[str] = field(default_factory=list)
    kept: list[Identity] = field(default_factory=list)

    def browser(self, **headers: str) -> httpx2.AsyncClient:
        """A browser, or a client, with cookies of its own."""
        return httpx2.AsyncClient(mounts=self.network, headers=headers, base_url=URL)

    async def keep(self, identity: Identity) -> None:
        self.kept.append(identity)

    async def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if url not in self.documents:
            raise CannotFetch("the status is 404")
        return self.documents[url]

    async def signed_in(self, user: int = 504141, scope: str = "segments:read", role: Role | None = None) -> "Tokens":
        """The tokens of somebody who has signed in by a browser of their own."""
        async with self.browser() as browser:
            attempt = Attempt(browser, scope=scope)
            answer = await attempt.exchange(await attempt.code(user))
            assert answer.status_code == 200, answer.text
        if role is not None:
            known = {person.id: person.name for person in await self.people.people()}
            await self.people.set_role(known[f"28805383:{user}"], role)
        return Tokens(self, **{name: answer.json()[name] for name in ("access_token", "refresh_token")})


@dataclass
class Tokens:
    """What a client has."""

    world: World
    access_token: str
    refresh_token: str

    async def call(self, body: Any = INITIALIZE, token: str | None = None) -> httpx2.Response:
        """A message to the MCP server."""
        headers = {**ACCEPT, "authorization": f"Bearer {token or self.access_token}"}
        async with self.world.browser() as client:
            return await client.post("/mcp", json=body, headers=headers)

    async def refresh(self, token: str | None = None, **form: str) -> httpx2.Response:
        async with self.world.browser() as client:
            asked = {"grant_type": "refresh_token", "refresh_token": token or self.refresh_token, "client_id": CIMD}
            return await client.post("/token", data=asked | form)


class Attempt:
    """A sign-in as a client and a browser make it, step by step."""

    def __init__(self, browser: httpx2.AsyncClient, scope: str = "segments:read", **query: str) -> None:
        self.browser = browser
        self.verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")
        self.query = {
            "response_type": "code",
            "client_id": CIMD,
            "redirect_uri": CALLBACK,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": "s1",
            "scope": scope,
            "resource": f"{URL}/mcp",
        } | query

    async def authorize(self, **changed: str | None) -> httpx2.Response:
        query = {name: value for name, value in {**self.query, **changed}.items() if value is not None}
        return await self.browser.get("/authorize", params=query)

    async def page(self) -> httpx2.Response:
        """The page that asks."""
        sent = await self.authorize()
        assert sent.status_code == 302, sent.text
        return await self.browser.get(sent.headers["location"])

    async def answer(self, page: httpx2.Response, answer: str = "yes", **changed: str) -> httpx2.Response:
        """What the page's form sends."""
        return await self.browser.post("/consent", data=form_of(page, answer=answer), headers={"origin": URL} | changed)

    async def amocrm(self, sent: httpx2.Response, user: int = 504141, answer: str = "allow") -> str:
        """Where amoCRM sends the browser when its person has answered there."""
        assert sent.status_code == 303, sent.text
        asked = f"{sent.headers['location']}&sandbox_answer={answer}&sandbox_user={user}"
        return str((await self.browser.get(asked)).headers["location"])

    async def back(self, user: int = 504141, answer: str = "allow") -> httpx2.Response:
        """What our callback answers, after everything before it."""
        return await self.browser.get(await self.amocrm(await self.answer(await self.page()), user, answer))

    async def code(self, user: int = 504141) -> str:
        return query_of(await self.back(user))["code"]

    async def exchange(self, code: str, **changed: str) -> httpx2.Response:
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self.query["client_id"],
            "redirect_uri": self.query["redirect_uri"],
            "code_verifier": self.verifier,
            "resource": self.query["resource"],
        }
        return await self.browser.post("/token", data=asked | changed)


def form_of(page: httpx2.Response, **changed: str) -> dict[str, str]:
    """The hidden fields of a page's form, and what a person has added."""
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
    return {name: html.unescape(value) for name, value in hidden} | changed


def query_of(answer: httpx2.Response | str) -> dict[str, str]:
    """The parameters of where a browser is sent."""
    location = answer if isinstance(answer, str) else answer.headers["location"]
    return dict(parse_qsl(urlsplit(location).query))


@asynccontextmanager
async def open_world(database: Database) -> AsyncIterator[World]:
    """All of it, as long as the context."""
    clock, sandbox, gates = Clock(1_700_000_000.0), Sandbox(), list[Gate]()
    sandbox.oauth.redirect_uri = URL + CALLBACK_PATH
    store, people = PostgresAuthorizationStore(database, clock=clock), PostgresPeopleStore(database, clock=clock)
    at_amocrm = httpx2.ASGITransport(app=sandbox.app)
    network: dict[str, httpx2.AsyncBaseTransport] = {"https://www.amocrm.ru": at_amocrm, ACCOUNT: at_amocrm}
    world = World(sandbox, database, store, people, clock, network)
    http = HttpTransport(timeout=20.0, app=sandbox.app)
    secret = SecretStr(sandbox.oauth.client_secret)
    redirect_uri = URL + CALLBACK_PATH
    integration = Integration(ACCOUNT, sandbox.oauth.client_id, secret, redirect_uri, http, Unlimited())

    async def ready() -> str:
        return ""

    async with AsyncExitStack() as stack:
        stack.push_async_callback(http.aclose)
        for _ in range(2):
            security = security_of(URL, ())
            app = HttpApp(TestServer(), security=security, stateless=True)
            await stack.enter_async_context(app.running())
            keys = Keys.parse(SecretStr(KEY))
            browsers = CookieBrowsers(PostgresBrowserStore(database, clock=clock), URL, keys.cookies)
            server = authorization_server(store, browsers, integration, URL, keys, world.keep, fetch=world.fetch)
            gates.append(Gate(app, SignIn(people), security, ready, server, _pages(browsers)))
        network[URL] = InTurn(gates)
        yield world


def _pages(browsers: CookieBrowsers) -> list[Route]:
    """A page of somebody's own, with a form."""

    async def own(request: Request) -> Response:
        signed_in = await browsers.person(request)
        if signed_in is None:
            return browsers.sign_in(request)
        if request.method == "POST":
            token = str((await request.form()).get("token", ""))
            return Response(status_code=200 if browsers.is_ours(request, token) else 403)
        person = signed_in.person
        said = {"id": person.id, "role": person.role, "token": browsers.form_token(request), "until": signed_in.expires}
        return JSONResponse(said)

    return [Route("/own/{name}", own, methods=["GET", "POST"])]
