"""One account on one machine: its server, from settings."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Literal

import anyio
from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.accounts.identity import AccountIdentity
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import LongLivedToken, Session, TokenSource
from amo_mcp.confirmation.ask import Asker
from amo_mcp.server.app import AmoServer
from amo_mcp.server.warmup import call_models, imports, warm_up
from amo_mcp.settings import SANDBOX_URL, ServingSettings, Settings, is_loopback
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.storage.memory.events import MemoryChangeEvents
from amo_mcp.tools.runtime.catalog import catalog

if TYPE_CHECKING:
    from amo_mcp.amocrm.auth import CredentialStore
    from amo_mcp.storage.sqlite.rate_limit import SqliteRateLimiter

_IDLE_SECONDS = 0.05
"""After the tools were listed: their answer goes out first."""


@asynccontextmanager
async def open_server(
    settings: ServingSettings, transport: Literal["stdio", "http"], *, warmed_up: Callable[[], None] = lambda: None
) -> AsyncIterator[AmoServer]:
    """A server for the account of `settings`, with its connections open as long as the context.

    Args:
        settings: what the operator chose.
        transport: what carries the protocol; over stdio the two-step confirmation is allowed by default.
        warmed_up: called once everything that the first call needs has been brought in.
    """
    chat = settings.confirm == "chat" or (settings.confirm == "auto" and transport == "stdio")
    async with _open(settings) as (account, http), anyio.create_task_group() as group:
        server = AmoServer(account, Asker(MemoryApprovalStore(), chat=chat), read_only=settings.read_only)
        group.start_soon(_warm_up, server, http, warmed_up)
        yield server
        group.cancel_scope.cancel()


async def _warm_up(server: AmoServer, http: HttpTransport, warmed_up: Callable[[], None]) -> None:
    """Bring in what the first call needs, once the tools were listed and the server idles."""
    await server.tools_listed.wait()
    await anyio.sleep(_IDLE_SECONDS)
    tools = [entry.prepare for entry in catalog().values()]
    await warm_up([http.prepare, *tools, *call_models(), *imports(["amo_mcp.storage.sqlite.slots"]), warmed_up])


@asynccontextmanager
async def open_account(settings: ServingSettings) -> AsyncIterator[AmoAccount]:
    """The account of `settings`, with its connections open as long as the context."""
    async with _open(settings) as (account, _):
        yield account


def _open(settings: ServingSettings) -> AbstractAsyncContextManager[tuple[AmoAccount, HttpTransport]]:
    return _open_sandbox(settings) if settings.sandbox else _open_account(settings)


@asynccontextmanager
async def _open_sandbox(settings: ServingSettings) -> AsyncIterator[tuple[AmoAccount, HttpTransport]]:
    """The embedded sandbox: everything is kept in memory, and nothing is paced."""
    from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
    from amo_mcp.storage.memory.journal import MemoryJournal
    from amo_mcp.storage.memory.plans import MemoryPlanStore
    from amo_mcp.storage.memory.rate_limit import Unlimited

    http = HttpTransport(timeout=settings.timeout, app=Sandbox().app)
    session = Session(SANDBOX_URL, LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unlimited())
    plans = MemoryPlanStore()
    try:
        client = AmoClient(session)
        journal, events = MemoryJournal(plans), MemoryChangeEvents()
        yield AmoAccount.of(client, journal, plans, events, rate=settings.rate_limit), http
    finally:
        await http.aclose()


@asynccontextmanager
async def _open_account(settings: ServingSettings) -> AsyncIterator[tuple[AmoAccount, HttpTransport]]:
    """A real account: changes and plans are kept in the state directory, and its processes share one pace."""
    from amo_mcp.storage.sqlite.database import Database
    from amo_mcp.storage.sqlite.journal import SqliteJournal
    from amo_mcp.storage.sqlite.plans import SqlitePlanStore

    base_url = settings.base_url
    http = HttpTransport(timeout=settings.timeout, direct=is_loopback(base_url))
    client = AmoClient(Session(base_url, _token_source(settings, http), http, rate_limiter(settings)))
    database = Database(settings.state, base_url, AccountIdentity(client).account_id)
    journal, plans = SqliteJournal(database), SqlitePlanStore(database)
    try:
        yield AmoAccount.of(client, journal, plans, MemoryChangeEvents(), rate=settings.rate_limit), http
    finally:
        await journal.close()
        await http.aclose()


def _token_source(settings: ServingSettings, http: HttpTransport) -> TokenSource:
    """The operator's token, or what `amo-mcp login` stored."""
    if settings.access_token is not None:
        return LongLivedToken(settings.access_token)
    from amo_mcp.amocrm.auth import OAuthTokenSource

    return OAuthTokenSource(credential_store(settings, settings.base_url), http, allowed=settings.allowed)


def credential_store(settings: Settings, base_url: str) -> "CredentialStore":
    """Where the sign-in to the account at `base_url` is, or is to be kept."""
    from amo_mcp.storage import credentials

    return credentials.credential_store(base_url, settings.state.path)


def rate_limiter(settings: ServingSettings) -> "SqliteRateLimiter":
    """The rate limit of the account, shared by all processes on this machine."""
    from amo_mcp.storage.sqlite.rate_limit import SqliteRateLimiter

    file = settings.state.rate_limit_file(settings.base_url)
    return SqliteRateLimiter(file, settings.rate_limit, timeout=settings.timeout)
