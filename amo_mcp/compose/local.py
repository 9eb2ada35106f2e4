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
        transport = Session(settings.account, LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unlimited())
        journal = Journal()
    else:
        root = settings.account
        http = HttpTransport(timeout=settings.timeout, direct=is_loopback(root))
        pace = SharedRateLimiter(settings.state.pace_file(root), settings.rate_limit)
        transport = Session(root, _sign_in(settings, http), http, pace)
        journal = Journal(settings.state.journal_file(root))
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
    from amo_mcp.storage.credentials import credential_store

    state, root = settings.state, settings.account
    return OAuthTokenSource(
        credential_store(root, state.path), http, state.refresh_lock(root), allowed=settings.allowed
    )
