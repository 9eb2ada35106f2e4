"""The pages of a team's server at two replicas, of which each request reaches the other one than the last."""

import html
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2
from pydantic import SecretStr
from typing_extensions import override

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.zones import zone_of
from amo_mcp.keys import Keys
from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.postgres.audit import PostgresAudit
from amo_mcp.storage.postgres.browsers import PostgresBrowserStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.storage.postgres.questions import PostgresQuestionStore
from amo_mcp.team.accounts import Accounts
from amo_mcp.team.approval.rules import Approvals
from amo_mcp.team.browser import CookieBrowsers
from amo_mcp.team.gate import Gate, security_of
from amo_mcp.team.pages.routes import Parts, routes
from amo_mcp.team.people import Person, Role, digest_of, new_token
from amo_mcp.team.refusals import Refusals
from amo_mcp.team.sign_in import SignIn
from amo_mcp.transports.http import HttpApp
from tests.clock import Clock
from tests.conftest import account_on, session_at
from tests.team.environment import KEY
from tests.team.in_turn import InTurn
from tests.transports.peers import TestServer

URL = "https://crm.example.org"
COOKIE = "__Host-amo-session"
MOSCOW = zone_of("Europe/Moscow", "")


class Looked(Accounts):
    """One account for all, and who has looked at it."""

    def __init__(self, shared: AmoAccount) -> None:
        super().__init__(shared)
        self.by: set[str] = set()

    @override
    def of(self, person_id: str) -> AmoAccount:
        self.by.add(person_id)
        return super().of(person_id)


@dataclass
class Visitor:
    """Somebody in a browser in which they are signed in.

    Attributes:
        token: what the forms of this browser have.
    """

    person: Person
    browser: httpx2.AsyncClient
    token: str

    async def get(self, path: str) -> httpx2.Response:
        return await self.browser.get(path)

    async def text(self, path: str) -> str:
        """What a page says, as a person sees it."""
        return text_of(await self.get(path))

    async def post(self, path: str, **form: str) -> httpx2.Response:
        """What a form of the page at that path is answered, which this browser was shown."""
        return await self.browser.post(path, data={"token": self.token, **form}, headers={"origin": URL})

    async def done(self, path: str, **form: str) -> str:
        """What the page says to which a form leads."""
        sent = await self.post(path, **form)
        assert sent.status_code == 303, sent.text
        [said] = re.findall('<p class="said" role="status">(.*?)</p>', (await self.get(sent.headers["location"])).text)
        return html.unescape(said)


@dataclass
class Office:
    """All of it."""

    database: Database
    people: PostgresPeopleStore
    audit: PostgresAudit
    questions: PostgresQuestionStore
    clock: Clock
    sandbox: Sandbox
    accounts: Looked
    replicas: httpx2.AsyncBaseTransport
    browsers: PostgresBrowserStore
    stack: AsyncExitStack

    async def known(self, name: str, role: Role = "viewer") -> Person:
        """Somebody who has signed in once."""
        person_id = f"1:{name if name.isalnum() else name.encode().hex()}"
        await self.database.execute(
            "INSERT INTO people (id, name, role, made) VALUES ($1, $2, $3, $4)", person_id, name, role, self.clock()
        )
        return Person(person_id, name, role)

    def stranger(self, **headers: str) -> httpx2.AsyncClient:
        """A browser in which nobody is signed in."""
        return httpx2.AsyncClient(transport=self.replicas, base_url=URL, headers={"accept": "text/html", **headers})

    async def visitor(self, name: str, role: Role = "viewer", **headers: str) -> Visitor:
        """Somebody new who is signed in."""
        return await self.signed_in(await self.known(name, role), **headers)

    async def signed_in(self, person: Person, **headers: str) -> Visitor:
        """Somebody in one more browser of theirs."""
        cookie = f"cookie of {person.id.encode().hex()} {id(headers)}"
        await self.browsers.begin(digest_of(cookie), person.id)
        browser = await self.stack.enter_async_context(self.stranger(**headers))
        browser.cookies.set(COOKIE, cookie, domain="crm.example.org")
        token = re.findall('name="token" value="(.*?)"', (await browser.get("/mine")).text)[0]
        return Visitor(person, browser, token)

    async def told(self) -> list[tuple[str, str, str, str]]:
        """What the audit tells, the oldest first: the kind, what was done, by whom, to what."""
        entries = [one.entry for one in reversed(await self.audit.page(100))]
        return [(entry.kind, entry.what, entry.by.name, entry.subject) for entry in entries]


def text_of(page: httpx2.Response) -> str:
    """A page as a person sees it, on one line."""
    assert page.status_code == 200, page.text
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", page.text)).split())


@asynccontextmanager
async def open_office(database: Database) -> AsyncIterator[Office]:
    """All of it, as long as the context."""
    clock, sandbox, keys = Clock(1_700_000_000.0), Sandbox(mode="segments"), Keys.parse(SecretStr(KEY))
    people, audit = PostgresPeopleStore(database, clock=clock), PostgresAudit(database, clock=clock)
    questions, browsers = PostgresQuestionStore(database, clock=clock), PostgresBrowserStore(database, clock=clock)
    http = HttpTransport(timeout=20.0, app=sandbox.app)
    accounts = Looked(account_on(session_at("https://example.amocrm.ru", http)))
    approvals = Approvals(questions, {"update": "self", "delete": "second", "plan": "self"})

    async def ready() -> str:
        return ""

    async with AsyncExitStack() as stack:
        stack.push_async_callback(http.aclose)
        gates = []
        for _ in range(2):
            security = security_of(URL, ())
            app = HttpApp(TestServer(), security=security, stateless=True)
            await stack.enter_async_context(app.running())
            own = CookieBrowsers(browsers, URL, keys.cookies)
            parts = Parts(URL, keys, own, people, audit, Refusals(audit, clock), approvals.pending, accounts, clock)
            gates.append(Gate(app, SignIn(people), security, ready, None, routes(parts)))
        replicas = InTurn(gates)
        yield Office(database, people, audit, questions, clock, sandbox, accounts, replicas, browsers, stack)


async def a_token(office: Office, name: str, role: Role = "viewer") -> str:
    """The id of a token that the operator has made."""
    token_id, _, digest = new_token()
    await office.people.add_token(token_id, digest, name, role, None)
    return token_id
