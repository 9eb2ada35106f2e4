"""One account on one machine: its server, from settings."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Literal

import anyio

from amo_mcp.server.app import AmoServer
from amo_mcp.server.warmup import call_models, imports, warm_up
from amo_mcp.settings import ServingSettings
from amo_mcp.storage.sealing_key import sealing_key
from amo_mcp.tools.runtime.catalog import catalog

if TYPE_CHECKING:
    from amo_mcp.accounts.account import AmoAccount
    from amo_mcp.confirmation.ask import Asker
    from amo_mcp.confirmation.ways import Carrier

_IDLE_SECONDS = 0.05
"""Seconds between the answer to `tools/list` and the warm-up."""


@asynccontextmanager
async def open_server(
    settings: ServingSettings, transport: Literal["stdio", "http"], *, warmed_up: Callable[[], None] = lambda: None
) -> AsyncIterator[AmoServer]:
    """A server for the account of `settings`, with its connections open as long as the context.

    `warmed_up` is called once everything that the first call needs has been brought in.
    """
    async with AsyncExitStack() as stack, anyio.create_task_group() as group:

        def connect() -> "tuple[AmoAccount, Asker]":
            from amo_mcp.compose.account import build_account
            from amo_mcp.compose.page import approval_page, serve_page
            from amo_mcp.confirmation.ask import Asker
            from amo_mcp.storage.memory.approvals import MemoryApprovalStore

            page = approval_page()
            group.start_soon(serve_page, page)
            carrier: Carrier = "stdio" if transport == "stdio" else "loopback"
            return build_account(settings, stack), Asker(MemoryApprovalStore(), page, settings.confirm, carrier)

        keys = [] if settings.sandbox else [sealing_key(settings.state.sealing_key_file)]
        has_customers = settings.customers != "off"
        server = AmoServer(connect, read_only=settings.read_only, has_customers=has_customers, sealing_keys=keys)
        group.start_soon(_warm_up, server, warmed_up)
        yield server
        group.cancel_scope.cancel()


async def _warm_up(server: AmoServer, warmed_up: Callable[[], None]) -> None:
    """Bring in what the first call needs, once the tools were listed and the server idles."""
    await server.tools_listed.wait()
    await anyio.sleep(_IDLE_SECONDS)
    await warm_up(imports(["amo_mcp.server.handlers", "amo_mcp.compose.account", "sqlite3", "filelock"]))
    account = server.handlers.account
    tools = [entry.prepare for entry in catalog().values()]
    await warm_up([account.client.prepare, *tools, *call_models(), warmed_up])
