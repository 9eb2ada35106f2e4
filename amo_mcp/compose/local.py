"""One account on one machine: its server, from settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import LongLivedToken, Session
from amo_mcp.confirmation.ask import Asker
from amo_mcp.server.app import AmoServer
from amo_mcp.settings import ServingSettings
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.storage.memory.events import MemoryChangeEvents


@asynccontextmanager
async def open_server(settings: ServingSettings, transport: Literal["stdio", "http"]) -> AsyncIterator[AmoServer]:
    """A server for the account of `settings`, with its connections open as long as the context.

    Args:
        settings: what the operator chose.
        transport: what carries the protocol; over stdio the two-step confirmation is allowed by default.
    """
    chat = settings.confirm == "chat" or (settings.confirm == "auto" and transport == "stdio")
    async with open_account(settings) as account:
        yield AmoServer(account, Asker(MemoryApprovalStore(), chat=chat), read_only=settings.read_only)


@asynccontextmanager
async def open_account(settings: ServingSettings) -> AsyncIterator[AmoAccount]:
    """The account of `settings`, with its connections open as long as the context."""
    async with _sandbox(settings) if settings.sandbox else _account(settings) as account:
        yield account


@asynccontextmanager
async def _sandbox(settings: ServingSettings) -> AsyncIterator[AmoAccount]:
    """The embedded sandbox: everything is kept in memory, and nothing is paced."""
    from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
    from amo_mcp.storage.memory.journal import MemoryJournal
    from amo_mcp.storage.memory.plans import MemoryPlanStore
    from amo_mcp.storage.memory.rate_limit import Unlimited

    http = HttpTransport(timeout=settings.timeout, app=Sandbox().app)
    session = Session(settings.base_url, LongLivedToken(SecretStr(ADMIN_TOKEN)), http, Unlimited())
    plans = MemoryPlanStore()
    try:
        client = AmoClient(session)
        yield AmoAccount.of(client, MemoryJournal(plans), plans, MemoryChangeEvents(), rate=settings.rate_limit)
    finally:
        await http.aclose()


@asynccontextmanager
async def _account(settings: ServingSettings) -> AsyncIterator[AmoAccount]:
    """A real account: changes and plans are kept in the state directory, and its processes share one pace."""
    raise NotImplementedError
    yield
