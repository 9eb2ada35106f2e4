"""A program that a person connects to a team's server in their browser, and waits on their machine for the answer."""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from amo_mcp.language import Language, texts
from amo_mcp.listen import authority, listen
from amo_mcp.storage.postgres.database import Database
from amo_mcp.team.settings import CALLBACK_PATH
from amo_mcp.transports.uvicorn import page_config, serving_beside
from tests.browser.chromium import Chromium, chromium
from tests.browser.test_approval import ANNA
from tests.browser.test_page import HOSTILE
from tests.conftest import answer
from tests.team.approval.team import Team, open_team
from tests.team.authorization.world import query_of

CLOSE = "The program has its answer. You can close this window."
"""What the program's own page says."""


@dataclass
class Program:
    """A client of a server, known there by registering itself.

    Attributes:
        redirect: where it waits for the answer.
        answers: what came there, each as the parameters of its address.
    """

    server: str
    redirect: str
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    answers: list[dict[str, str]] = field(default_factory=list)
    client_id: str = ""

    async def register(self, name: str) -> None:
        body = {"redirect_uris": [self.redirect], "client_name": name, "token_endpoint_auth_method": "none"}
        async with httpx2.AsyncClient(base_url=self.server) as http:
            registered = await http.post("/register", json=body)
        assert registered.status_code == 201, registered.text
        self.client_id = registered.json()["client_id"]

    def address(self, **changed: str) -> str:
        """Where it sends its person's browser."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": "s1",
            "scope": "segments:read",
            "resource": f"{self.server}/mcp",
        }
        return f"{self.server}/authorize?{urlencode(query | changed)}"

    async def segments(self) -> list[str]:
        """The names that it reads with what its last answer is good for."""
        asked = {
            "grant_type": "authorization_code",
            "code": self.answers[-1]["code"],
            "client_id": self.client_id,
            "redirect_uri": self.redirect,
            "code_verifier": self.verifier,
        }
        async with httpx2.AsyncClient(base_url=self.server) as http:
            tokens = (await http.post("/token", data=asked)).json()
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(f"{self.server}/mcp", http_client=http)) as client,
        ):
            found = answer(await client.call_tool("list_segments", {"search": "vip"}))
        return [segment["name"] for segment in found["segments"]]

    async def answered(self, request: Request) -> Response:
        """Its own page, where its person comes back to."""
        self.answers.append(dict(request.query_params))
        return PlainTextResponse(CLOSE)


@dataclass
class Door:
    """A served team whose people work with their own rights, a program, and a browser for each person."""

    team: Team
    program: Program
    browser: Chromium

    async def allow(self, user: int, **looks: Any) -> dict[str, Any]:
        """Say yes on amoCRM's page as one of its users; what the browser shows then."""
        name = self.team.sandbox.account.users[user]["name"]
        return await self.browser.do("follow", link=f"allow as {name}", **looks)


@asynccontextmanager
async def open_door(database: Database, database_url: SecretStr) -> AsyncIterator[Door]:
    """All of it, as long as the context."""
    at_server, at_program = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    url = f"http://{authority(at_server)}"
    program = Program(url, f"http://{authority(at_program)}/callback")
    own = Starlette(routes=[Route("/callback", program.answered)])
    async with open_team(database, database_url, count=1, public_url=url, access_token=None) as team:
        team.sandbox.oauth.redirect_uri = url + CALLBACK_PATH
        async with (
            serving_beside(page_config(team.fronts[0]), at_server),
            serving_beside(page_config(own), at_program),
            chromium() as browser,
        ):
            yield Door(team, program, browser)


Look = Callable[[str], Awaitable[None]]
"""Looks at what the browser shows, by a name."""


async def walk(door: Door, language: Language, look: Look) -> None:
    """Through every page of signing in, at each of which is looked."""
    browser, program, people, words = door.browser, door.program, door.team.people, texts(language)
    url = door.team.url

    async def do(action: str, **request: Any) -> dict[str, Any]:
        return await browser.do(action, language=language, **request)

    await do("open", address=f"{url}/mine")
    await look("sign-in-first")
    await door.team.database.execute("UPDATE bootstrap SET used = unix_now()")
    await do("open", address=f"{url}/mine")
    await look("sign-in")
    await do("press", button=words("Continue to amoCRM"))
    await do("follow", link="deny")
    await look("not-confirmed")
    await program.register(f"{HOSTILE}\r\n{'x' * 10_000}")
    await do("open", address=program.address())
    await look("consent-hostile")
    await program.register("Claude Code")
    consent = await do("open", address=program.address(scope="segments:read segments:write"))
    await look("consent")
    sent = await do("press", button=words("Connect"))
    state = query_of(sent["url"])["state"]
    await do("open", address=f"{url}{CALLBACK_PATH}?code=x&state={state}&referer=other.amocrm.ru")
    await look("other-account")
    await do("open", address=consent["url"])
    await look("too-old")
    await do("open", address=program.address(client_id="unknown"))
    await look("unknown-program")
    await do("open", address=program.address(redirect_uri="https://evil.example/callback"))
    await look("wrong-address")
    await do("open", address=f"{url}/mine")
    await do("press", button=words("Continue to amoCRM"))
    await door.allow(ANNA, language=language)
    await look("signed-in")
    await do("press", button=words("Sign out"))
    await look("signed-out")
    await people.remove(door.team.sandbox.account.users[ANNA]["name"])
    await do("open", address=f"{url}/mine")
    await do("press", button=words("Continue to amoCRM"))
    await door.allow(ANNA, language=language)
    await look("removed")
