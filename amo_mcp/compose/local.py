"""One account on one machine: its server, from settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import LongLivedToken, Session, TokenSource
from amo_mcp.changes.journal import Journal
from amo_mcp.confirmation.approvals import Approvals
from amo_mcp.confirmation.ask import AppState
from amo_mcp.server.app import AmoServer
from amo_mcp.settings import ServingSettings, Settings, is_loopback
from amo_mcp.storage import credentials
from amo_mcp.storage.sqlite.rate_limit import SharedRateLimiter, Unlimited


@asynccontextmanager
async def open_server(settings: ServingSettings, carrier: Literal["stdio", "http"]) -> AsyncIterator[AmoServer]:
    """A server for the account of `settings`, with its connections open as long as the context.

    Args:
        settings: what the operator chose.
        carrier: what the protocol is carried by; over stdio the two-step confirmation is allowed by default.
    """
    two_step = settings.confirm == "chat" or (settings.confirm == "auto" and carrier == "stdio")
    async with open_account(settings) as account:
        yield AmoServer(AppState(account, Approvals(), two_step), read_only=settings.read_only)


@asynccontextmanager
async def open_account(settings: ServingSettings) -> AsyncIterator[AmoAccount]:
    """The account of `settings`, with its connections open as long as the context."""
    if settings.sandbox:
        from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox

        http = HttpTransport(timeout=settings.timeout, app=Sandbox().app)
        transport = Session(settings.base_url, LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unlimited())
        journal = Journal()
    else:
        base_url = settings.base_url
        http = HttpTransport(timeout=settings.timeout, direct=is_loopback(base_url))
        transport = Session(base_url, _sign_in(settings, http), http, rate_limiter(settings))
        journal = Journal(settings.state.legacy_journal_file(base_url))
    try:
        yield AmoAccount(AmoClient(transport), journal, per_second=settings.rate_limit)
    finally:
        journal.close()
        await http.aclose()


def _sign_in(settings: ServingSettings, http: HttpTransport) -> TokenSource:
    """The operator's token, or what `amo-mcp login` stored."""
    if settings.access_token is not None:
        return LongLivedToken(settings.access_token)
    from amo_mcp.amocrm.auth import OAuthTokenSource

    lock = settings.state.sign_in_lock(settings.base_url)
    return OAuthTokenSource(credential_store(settings, settings.base_url), http, lock, allowed=settings.allowed)


def credential_store(settings: Settings, base_url: str) -> credentials.CredentialStore:
    """Where the sign-in to the account at `base_url` is, or is to be kept."""
    return credentials.credential_store(base_url, settings.state.path)


def rate_limiter(settings: ServingSettings) -> SharedRateLimiter:
    """The rate limit of the account, shared by all processes on this machine."""
    return SharedRateLimiter(settings.state.rate_limit_file(settings.base_url), settings.rate_limit)
