"""One account on one machine, from settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.accounts.profile import AccountProfile
from amo_mcp.addresses import is_loopback
from amo_mcp.amocrm.auth import OAuthTokenSource
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.credentials import CredentialStore
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken, TokenSource
from amo_mcp.settings import ServingSettings, Settings
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
    session, http = _sandbox_session(settings) if settings.sandbox else _session(settings)
    stack.push_async_callback(http.aclose)
    client = AmoClient(session)
    profile = AccountProfile(client, settings.language)
    database = MemoryDatabase() if settings.sandbox else Database(settings.state, settings.base_url, profile.account_id)
    journal, plans = SqliteJournal(database), SqlitePlanStore(database)
    stack.push_async_callback(journal.close)
    return AmoAccount.of(
        client,
        journal,
        plans,
        MemoryChangeEvents(),
        profile,
        requests_per_second=settings.rate_limit,
        names_customers=settings.customers == "names",
    )


def _session(settings: ServingSettings) -> tuple[Session, HttpTransport]:
    """The account that the settings name, over the network."""
    base_url = settings.base_url
    http = HttpTransport(timeout=settings.timeout, direct=is_loopback(base_url))
    tokens: TokenSource = (
        OAuthTokenSource(sign_in_store(settings, base_url), http, allowed=settings.checked_base_url)
        if settings.access_token is None
        else LongLivedToken(settings.access_token)
    )
    return Session(base_url, tokens, http, rate_limiter(settings)), http


def _sandbox_session(settings: ServingSettings) -> tuple[Session, HttpTransport]:
    """The embedded sandbox, whose requests are not paced."""
    from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
    from amo_mcp.storage.memory.rate_limit import Unlimited

    http = HttpTransport(timeout=settings.timeout, app=Sandbox().app)
    return Session(settings.base_url, LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unlimited()), http


def sign_in_store(settings: Settings, base_url: str) -> CredentialStore:
    """Where the sign-in to the account at `base_url` is, or is to be kept."""
    return credential_store(base_url, settings.state)


def rate_limiter(settings: ServingSettings) -> SharedRateLimiter:
    """The rate limit of the account, shared by all processes on this machine."""
    file = settings.state.rate_limit_file(settings.base_url)
    return SharedRateLimiter(file, settings.rate_limit, timeout=settings.timeout)
