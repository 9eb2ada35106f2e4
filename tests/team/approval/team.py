"""A team's server as `serve --team` builds it, at two replicas in this process, with its clients and browsers."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from itertools import cycle
from typing import Any, cast

import anyio
import httpx2
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from pydantic import SecretStr
from starlette.types import ASGIApp

from amo_mcp.compose.team import Replica, TeamSettings, open_replica
from amo_mcp.confirmation.waiting import SETTLE
from amo_mcp.pages.guard import new_secret
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.storage.postgres.browsers import PostgresBrowserStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.team.people import Person, Role, digest_of, new_token
from tests.conftest import ERAS
from tests.team.environment import KEY

URL = "https://crm.example.org"
COOKIE = "__Host-amo-session"


@dataclass
class Team:
    """The replicas, and what is behind them.

    Attributes:
        fronts: what clients and browsers come to, of each replica.
        networks: a network for each replica, and one in which each request reaches the next of them.
        url: the server's address.
    """

    sandbox: Sandbox
    database: Database
    people: PostgresPeopleStore
    url: str = URL
    fronts: list[ASGIApp] = field(default_factory=list)
    networks: list[httpx2.AsyncBaseTransport] = field(default_factory=list)

    @property
    def any_replica(self) -> httpx2.AsyncBaseTransport:
        return self.networks[-1]

    async def known(self, name: str, role: Role) -> tuple[Person, str]:
        """Somebody, and a token of theirs."""
        token_id, token, digest = new_token()
        return (await self.people.add_token(token_id, digest, name, role, None)).person, token

    @asynccontextmanager
    async def client(
        self,
        era: str,
        name: str,
        role: Role = "editor",
        *,
        replica: int = -1,
        dialog: Any = None,
        client: str = "Cursor",
    ) -> AsyncIterator[Client]:
        """A client of somebody."""
        _, token = await self.known(name, role)
        headers = {"authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(transport=self.networks[replica], headers=headers) as http,
            Client(
                streamable_http_client(f"{self.url}/mcp", http_client=http),
                mode=ERAS[era],
                elicitation_callback=cast("ElicitationFnT | None", dialog),
                client_info=Implementation(name=client, version="1.0"),
                cache=None,
            ) as connected,
        ):
            yield connected

    @asynccontextmanager
    async def browser(
        self, name: str = "", role: Role = "approver", replica: int = -1, language: str = "en"
    ) -> AsyncIterator["Browser"]:
        """A browser, in which somebody is signed in; in one of no name nobody is."""
        headers = {"accept-language": language}
        if name:
            person, _ = await self.known(name, role)
            cookie = new_secret()
            await PostgresBrowserStore(self.database).begin(digest_of(cookie), person.id)
            headers["cookie"] = f"{COOKIE}={cookie}"
        network = self.networks[replica]
        async with httpx2.AsyncClient(transport=network, base_url=URL, headers=headers) as http:
            yield Browser(http)

    def writes(self) -> list[str]:
        """The requests that have changed something in the account."""
        sent = [item for item in self.sandbox.requests if item.path.startswith("/api/")]
        return [f"{item.method} {item.path}" for item in sent if item.method != "GET"]


@dataclass
class Browser:
    """What a person has before them.

    Attributes:
        answer: what came last.
        at: its address.
    """

    http: httpx2.AsyncClient
    answer: httpx2.Response = field(default_factory=lambda: httpx2.Response(200))
    at: str = ""

    @property
    def text(self) -> str:
        """What is read: the page without its tags, and without what is above it."""
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", re.sub(r"</?bdi>", "", self._main))).split())

    @property
    def heading(self) -> str:
        found = re.search(r"<h1>(.*?)</h1>", self.answer.text, re.DOTALL)
        return unescape(re.sub(r"<[^>]+>", "", found[1])) if found else ""

    @property
    def buttons(self) -> list[str]:
        return re.findall(r"<button[^>]*>([^<]*)</button>", self._main)

    @property
    def _main(self) -> str:
        return self.answer.text[self.answer.text.find("<main") :]

    @property
    def form(self) -> dict[str, str]:
        """The hidden fields."""
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.answer.text))

    async def open(self, address: str) -> str:
        """Go to a page; its text."""
        self.at = address.removeprefix(URL)
        self.answer = await self.http.get(self.at)
        return self.text

    async def press(self, answer: str, comment: str = "", *, seen: bool = True, **form: str) -> str:
        """Press a button of the page, once it was seen for long enough, and go where that leads; the text there."""
        shown = float(self.form["shown"]) - (SETTLE if seen else 0.0)
        sent = {**self.form, "shown": str(shown), "answer": answer, "comment": comment, **form}
        return await self.send(self.at, sent)

    async def send(self, to: str, form: dict[str, str], **headers: str) -> str:
        """Send a form, and go where that leads; the text there."""
        self.answer = await self.http.post(to, data=form, headers={"origin": URL, **headers})
        if self.answer.status_code == 303:
            return await self.open(self.answer.headers["location"])
        return self.text


class _Next(httpx2.AsyncBaseTransport):
    """Each request to the next replica."""

    def __init__(self, networks: list[httpx2.AsyncBaseTransport]) -> None:
        self._next = cycle(networks)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await next(self._next).handle_async_request(request)


@asynccontextmanager
async def open_team(
    database: Database, url: SecretStr, approval: str = "self", count: int = 2, **settings: Any
) -> AsyncIterator[Team]:
    """The replicas, as long as the context."""
    sandbox = Sandbox(mode="segments")
    team = Team(sandbox, database, PostgresPeopleStore(database), settings.get("public_url", URL))
    async with AsyncExitStack() as stack:
        amo = stack.enter_context(running(sandbox))
        given: dict[str, Any] = {
            "public_url": URL,
            "database_url": url,
            "secret_key": SecretStr(KEY),
            "base_url": amo,
            "access_token": SecretStr(ADMIN_TOKEN),
            "client_id": sandbox.oauth.client_id,
            "client_secret": SecretStr(sandbox.oauth.client_secret),
            "approval": approval,
        }
        for _ in range(count):
            replica = await stack.enter_async_context(_serving(TeamSettings(**{**given, **settings})))
            team.fronts.append(replica.front)
        team.networks += [httpx2.ASGITransport(app=front) for front in team.fronts]
        team.networks.append(_Next([*team.networks]))
        yield team


@asynccontextmanager
async def _serving(settings: TeamSettings) -> AsyncIterator[Replica]:
    async with open_replica(settings, lambda _: None) as replica, replica.app.running():
        operator = httpx2.ASGITransport(app=replica.operations)
        async with httpx2.AsyncClient(transport=operator, base_url="http://operator") as http:
            for _ in range(500):
                if (await http.get("/readyz")).status_code == 200:
                    break
                await anyio.sleep(0.02)
        yield replica
