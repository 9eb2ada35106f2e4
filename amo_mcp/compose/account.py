"""One account on one machine, from settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.accounts.profile import AccountProfile
from amo_mcp.amocrm.auth import OAuthTokenSource
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.credentials import CredentialStore
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken, TokenSource
from amo_mcp.settings import ServingSettings, Settings, is_loopback
from amo_mcp.storage.credentials import credential_store
from amo_mcp.storage.memory.events import MemoryChangeEvents
from amo_mcp.storage.rate_limit import SharedRateLimiter
from amo_mcp.storage.sqlite.database import Database, MemoryDatabase
from amo_mcp.storage.sqlite.journal import SqliteJournal
from amo_mcp.storage.sqlite.plans import SqlitePlanStore


@asynccontextmanager
async def open_account(settings: ServingSettings) -> AsyncIterator[AmoAccount]:
    """The account of `settings`, with its connections open as long as the context."""
    async with AsyncExitStack() as stack:
        yield build_account(settings, stack)


def build_account(settings: ServingSettings, stack: AsyncExitStack) -> AmoAccount:
    """The account of `settings`; what it opens when it is used is closed with `stack`."""
    if settings.sandbox:
        return _sandbox_account(settings, stack)
    base_url = settings.base_url
    http = HttpTransport(timeout=settings.timeout, direct=is_loopback(base_url))
    stack.push_async_callback(http.aclose)
    tokens: TokenSource = (
        OAuthTokenSource(sign_in_store(settings, base_url), http, allowed=settings.checked_base_url)
        if settings.access_token is None
        else LongLivedToken(settings.access_token)
    )
    client = AmoClient(Session(base_url, tokens, http, rate_limiter(settings)))
    profile = AccountProfile(client, settings.language)
    database = Database(settings.state, base_url, profile.account_id)
    journal, plans = SqliteJournal(database), SqlitePlanStore(database)
    stack.push_async_callback(journal.close)
    rate = settings.rate_limit
    return AmoAccount.of(client, journal, plans, MemoryChangeEvents(), profile, requests_per_second=rate)


def _sandbox_account(settings: ServingSettings, stack: AsyncExitStack) -> AmoAccount:
    """The embedded sandbox: everything is kept in memory, and nothing is paced."""
    from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
    from amo_mcp.storage.memory.rate_limit import Unlimited

    http = HttpTransport(timeout=settings.timeout, app=Sandbox().app)
    stack.push_async_callback(http.aclose)
    session = Session(settings.base_url, LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unlimited())
    client, database = AmoClient(session), MemoryDatabase()
    journal, plans = SqliteJournal(database), SqlitePlanStore(database)
    profile, rate = AccountProfile(client, settings.language), settings.rate_limit
    return AmoAccount.of(client, journal, plans, MemoryChangeEvents(), profile, requests_per_second=rate)


def sign_in_store(settings: Settings, base_url: str) -> CredentialStore:
    """Where the sign-in to the account at `base_url` is, or is to be kept."""
    return credential_store(base_url, settings.state)


def rate_limiter(settings: ServingSettings) -> SharedRateLimiter:
    """The rate limit of the account, shared by all processes on this machine."""
    file = settings.state.rate_limit_file(settings.base_url)
    return SharedRateLimiter(file, settings.rate_limit, timeout=settings.timeout)
