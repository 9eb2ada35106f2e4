"""What the tests share: a sandbox on a real port, and a real MCP client on the real server, in both protocol eras."""

import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from hypothesis import settings
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp_types import (
    CallToolResult,
    ElicitRequestFormParams,
    ElicitResult,
    ErrorData,
    Implementation,
    ReadResourceResult,
    TextContent,
    TextResourceContents,
)
from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.accounts.profile import AccountProfile
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken
from amo_mcp.changes.journal import Journal
from amo_mcp.changes.plan import PlanStore
from amo_mcp.changes.turns import Turns
from amo_mcp.confirmation.approvals import ApprovalStore
from amo_mcp.confirmation.ask import Asker
from amo_mcp.confirmation.page import ApprovalPage
from amo_mcp.confirmation.ways import Carrier, Choice
from amo_mcp.language import Language
from amo_mcp.listen import listen
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.server.app import AmoServer
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.storage.memory.events import MemoryChangeEvents
from amo_mcp.storage.memory.rate_limit import Unlimited
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.sqlite.database import MemoryDatabase
from amo_mcp.storage.sqlite.journal import SqliteJournal
from amo_mcp.storage.sqlite.plans import SqlitePlanStore
from scripts.postgres import Cluster
from tests import recorder
from tests.clock import Clock
from tests.postgres import PostgresSession, empty, session_cluster, worker_database

# How long an example takes says nothing of it on a machine that is slow for a while.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")

# The standard library looks once for the browsers that there are, so this is set before it does.
os.environ["BROWSER"] = recorder.COMMAND

_postgres: PostgresSession | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Whoever begins the session has its PostgreSQL; the workers of pytest-xdist share it."""
    global _postgres
    # What a shell runs in the background ignores Ctrl-C, and so would every process that a test begins.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        _postgres = PostgresSession()
    else:
        # Of the processes that tests begin the commands alone are measured: it costs each 0.3 s of processor time.
        os.environ["COVERAGE_OF_COMMANDS"] = os.environ.pop("COVERAGE_PROCESS_CONFIG", "")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many tests wait for processes, and for leases of theirs."""
    return (os.cpu_count() or 1) + 1


def pytest_unconfigure() -> None:
    if _postgres is not None:
        _postgres.end()


ERAS = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}
"""The protocol's revisions, and how the client is told to speak them."""


PROFILE = ("GET /api/v4/account?with=datetime_settings", "GET /api/v4/users/")
"""How the requests begin that ask for the account's name, country and zone, and for the person's language."""

Dialog = Callable[[Any, Any], Awaitable[ElicitResult | ErrorData]]
"""What a client does with a question: it is called with the client's context and the form."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in list(os.environ):
        if name.startswith(("AMO_", "SSL_CERT_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def opened_tabs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file with the addresses that a browser was to open; no test opens the browser of a developer."""
    record = tmp_path / "opened-tabs"
    monkeypatch.setenv("BROWSER", recorder.COMMAND)
    monkeypatch.setenv(recorder.RECORD, str(record))
    return record


@pytest.fixture(scope="session")
def postgres() -> Cluster:
    """A PostgreSQL that all tests of the session share, and that none stops."""
    return session_cluster()


@pytest.fixture(scope="session")
def _worker_database(postgres: Cluster) -> SecretStr:
    return anyio.run(worker_database, postgres)


@pytest.fixture
def database_url(_worker_database: SecretStr) -> SecretStr:
    """The address of a database with all tables, and nothing in them."""
    anyio.run(empty, _worker_database)
    return _worker_database


@pytest.fixture
async def database(database_url: SecretStr) -> AsyncIterator[Database]:
    """That database, as a replica has it open."""
    database = Database(database_url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(mode="segments")


@pytest.fixture
def periodicity() -> Sandbox:
    return Sandbox(mode="periodicity")


@dataclass
class Person:
    """Somebody in front of the client's dialog.

    `says` is one of yes, no (the box left empty), decline, cancel; or a function that is called with the question's
    text and gives one of them. `asked` has every question, in order.
    """

    says: str | Callable[[str], str] = "yes"
    asked: list[ElicitRequestFormParams] = field(default_factory=list)

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params)
        word = self.says if isinstance(self.says, str) else self.says(params.message)
        match word:
            case "yes":
                return ElicitResult(action="accept", content={"confirm": True})
            case "no":
                return ElicitResult(action="accept", content={"confirm": False})
            case "decline":
                return ElicitResult(action="decline")
            case _:
                return ElicitResult(action="cancel")


@dataclass
class Served:
    """A server on a sandbox, ready for clients.

    Attributes:
        page: where a person is asked who has a browser; nothing serves it.
        url: where the sandbox is served, if it is.
    """

    server: AmoServer
    sandbox: Sandbox
    approvals: ApprovalStore
    page: ApprovalPage
    url: str = ""

    @property
    def account(self) -> AmoAccount:
        return self.server.handlers.account

    def client(self, era: str, dialog: Dialog | None = None, name: str = "tests", thinks: float = 1.0) -> Client:
        """A client whose dialogs are answered by `dialog`, after it has thought for some seconds."""

        async def answered(context: Any, params: Any) -> ElicitResult | ErrorData:
            assert dialog is not None
            if isinstance(self.approvals.clock, Clock):
                self.approvals.clock.now += thinks
            return await dialog(context, params)

        return Client(
            self.server,
            mode=ERAS[era],
            elicitation_callback=cast("ElicitationFnT", answered) if dialog else None,
            client_info=Implementation(name=name, version="1"),
            cache=None,
        )

    def writes(self) -> list[str]:
        """The writes that reached the API: method and path."""
        return [f"{item.method} {item.path}" for item in self.sandbox.requests if item.method != "GET"]

    def requests(self) -> list[str]:
        """The requests that reached the API, but for the two that ask, once in a while, who the person is."""
        made = [f"{item.method} {item.path}" for item in self.sandbox.requests]
        return [item for item in made if not item.startswith(PROFILE)]


@asynccontextmanager
async def both(server: AmoServer, dialog: Dialog | None = None) -> AsyncIterator[list[Client]]:
    """A client of each era, on the same server."""
    async with AsyncExitStack() as stack:
        clients = [
            Client(server, mode=mode, elicitation_callback=cast("ElicitationFnT | None", dialog), cache=None)
            for mode in ERAS.values()
        ]
        yield [await stack.enter_async_context(client) for client in clients]


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve() -> Serve:
    """Serve a sandbox over HTTP on loopback, and the MCP server in memory in front of it."""

    @asynccontextmanager
    async def served(
        sandbox: Sandbox,
        *,
        token: str = ADMIN_TOKEN,
        read_only: bool = False,
        **how: Any,
    ) -> AsyncIterator[Served]:
        with running(sandbox) as url:
            http = HttpTransport(timeout=20.0)
            made = served_on(sandbox, session_at(url, http, token), read_only=read_only, **how)
            try:
                yield replace(made, url=url)
            finally:
                made.page.close()
                await http.aclose()

    return served


def session_at(url: str, http: HttpTransport, token: str = ADMIN_TOKEN) -> Session:
    """Requests to the sandbox at `url`, unpaced; waiting for a retry takes no time."""
    return Session(url, LongLivedToken(SecretStr(token)), http, Unlimited(), sleep=no_sleep)


def account_on(
    session: Session,
    journal: Journal | None = None,
    plans: PlanStore | None = None,
    clock: Callable[[], float] = time.monotonic,
    language: Language | None = None,
) -> AmoAccount:
    """An account whose journal is kept in memory, unless the test brings one."""
    if journal is None or plans is None:
        database = MemoryDatabase()
        journal, plans = journal or SqliteJournal(database), plans or SqlitePlanStore(database)
    client = AmoClient(session)
    profile = AccountProfile(client, language, clock)
    return AmoAccount.of(client, journal, plans, MemoryChangeEvents(), profile, clock=clock)


def served_on(
    sandbox: Sandbox,
    session: Session,
    *,
    journal: Journal | None = None,
    plans: PlanStore | None = None,
    approvals: ApprovalStore | None = None,
    choice: Choice = "auto",
    carrier: Carrier = "stdio",
    open_tab: Callable[[str], Awaitable[bool]] | None = None,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    read_only: bool = False,
    clock: Callable[[], float] = time.monotonic,
    language: Language | None = None,
    turns: Turns | None = None,
    names_customers: bool = True,
) -> Served:
    """The server in front of a sandbox.

    Args:
        open_tab: the person's browser; None when there is none.
        language: what the person reads; None for what the account tells.
    """
    approvals = approvals or MemoryApprovalStore(Clock())
    account = account_on(session, journal, plans, clock, language)
    account = replace(account, turns=turns or Turns(), names_customers=names_customers)
    opens = open_tab is not None
    page = ApprovalPage(partial(listen, "127.0.0.1", 0), open_tab or no_tab, opens=opens, clock=approvals.clock)
    asker = Asker(approvals, page, choice, carrier, sleep)
    return Served(AmoServer(lambda: (account, asker), read_only=read_only), sandbox, approvals, page)


async def no_tab(_: str) -> bool:
    """Where no browser can be opened."""
    return False


async def no_sleep(_: float) -> None:
    """Time that passes when it is asked for."""
    await anyio.lowlevel.checkpoint()


def answer(result: Any) -> dict[str, Any]:
    """The structured answer of a call; that the text says the same is checked here for every test."""
    assert isinstance(result, CallToolResult)
    [block] = result.content
    assert isinstance(block, TextContent)
    assert json.loads(block.text) == result.structured_content
    assert ("error" in (result.structured_content or {})) == bool(result.is_error)
    return dict(result.structured_content or {})


def error(result: Any) -> dict[str, Any]:
    """The error object of a call that failed."""
    assert result.is_error is True
    return dict(answer(result)["error"])


def resource_text(result: ReadResourceResult) -> str:
    """The text of a resource."""
    [contents] = result.contents
    assert isinstance(contents, TextResourceContents)
    return contents.text


@pytest.fixture
def served_url(sandbox: Sandbox) -> Iterator[str]:
    with running(sandbox) as url:
        yield url


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Commands send logs to the terminal's stderr; afterwards they go where they went before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
