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
from amo_mcp.settings import ServingSettings, is_loopback
from amo_mcp.storage.memory.rate_limit import Unlimited
from amo_mcp.storage.sqlite.rate_limit import SqliteRateLimiter


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
    limiter: SqliteRateLimiter | None = None
    if settings.sandbox:
        from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox

        http = HttpTransport(timeout=settings.timeout, app=Sandbox().app)
        transport = Session(settings.account, LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unlimited())
        journal = Journal()
    else:
        root = settings.account
        http = HttpTransport(timeout=settings.timeout, direct=is_loopback(root))
        limiter = SqliteRateLimiter(settings.state.rate_limit_file(root), settings.rate_limit, timeout=settings.timeout)
        transport = Session(root, _sign_in(settings, http), http, limiter)
        journal = Journal(settings.state.journal_file(root))
    try:
        yield AmoAccount(AmoClient(transport), journal, per_second=settings.rate_limit)
    finally:
        journal.close()
        await http.aclose()
        if limiter is not None:
            limiter.close()


def _sign_in(settings: ServingSettings, http: HttpTransport) -> TokenSource:
    """The operator's token, or what `amo-mcp login` stored."""
    if settings.access_token is not None:
        return LongLivedToken(settings.access_token)
    from amo_mcp.amocrm.auth import OAuthTokenSource
    from amo_mcp.storage.credentials import credential_store

    return OAuthTokenSource(credential_store(settings.account, settings.state.path), http, allowed=settings.allowed)
