"""One of any number of replicas that share a PostgreSQL database, from settings."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import anyio
from opentelemetry.metrics import get_meter
from starlette.types import ASGIApp

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.compose.team.account import build_account
from amo_mcp.compose.team.approval import build_approvals, build_asker
from amo_mcp.compose.team.pages import page_routes
from amo_mcp.compose.team.sign_in import Announce, TeamSignIn
from amo_mcp.server.app import AmoServer
from amo_mcp.server.warmup import call_models, warm_up
from amo_mcp.storage.postgres.audit import PostgresAudit
from amo_mcp.storage.postgres.counts import counts
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.team.gate import Gate, security_of
from amo_mcp.team.logs import remember_client
from amo_mcp.team.metrics import Metrics, collect
from amo_mcp.team.operations import Operations, Readiness
from amo_mcp.team.refusals import Refusals
from amo_mcp.team.rights import Rights
from amo_mcp.team.settings import TeamSettings
from amo_mcp.team.sign_in import SignIn
from amo_mcp.tools.runtime.catalog import catalog
from amo_mcp.transports.http import HttpApp

_RETRY_SECONDS = 1.0
"""Seconds between two attempts to reach the database while a replica begins."""


@dataclass(frozen=True)
class Replica:
    """One replica.

    Attributes:
        app: speaks MCP; it is what ends in order.
        front: what clients come to, in front of it.
        operations: what the operator comes to.
    """

    app: HttpApp
    front: ASGIApp
    operations: ASGIApp


@asynccontextmanager
async def open_replica(settings: TeamSettings, announce: Announce) -> AsyncIterator[Replica]:
    """A replica, which works as long as the context; until the database is there, its calls answer `unavailable`.

    Args:
        settings: the same for every replica.
        announce: is told the code that makes the first admin, if this is the first start of all.

    Raises:
        JournalUnusable: the database will not do, or a later release has written it.
    """
    written, tools = collect(), catalog()
    metrics = Metrics(get_meter("amo_mcp"), tools)
    async with AsyncExitStack() as stack, anyio.create_task_group() as group:
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        built = build_account(settings, database, metrics, stack)
        approvals = build_approvals(settings, database)
        asker = build_asker(settings, database, approvals)
        refusals = Refusals(PostgresAudit(database))
        rights = Rights(tools, refusals, dialog=settings.confirm == "dialog")
        server = AmoServer(
            lambda: (built.accounts.shared, asker),
            read_only=settings.read_only,
            has_customers=settings.customers != "off",
            sealing_keys=settings.keys.sealing,
            stateless=True,
            has_tasks=True,
            middleware=[metrics.observe, remember_client, rights],
        )
        # From now on it hears of changes, whether anybody calls it or not.
        _ = server.handlers
        security = security_of(settings.public_url, settings.allowed_origins)
        app = HttpApp(server, security=security, stateless=True)
        ready = Readiness(database.check_writable, lambda: app.draining)
        sign_in = SignIn(PostgresPeopleStore(database))
        amocrm = TeamSignIn(settings, database, built) if settings.has_sign_in else None
        pages = page_routes(settings, database, amocrm.browsers, approvals, refusals, built) if amocrm else ()
        front = Gate(app, sign_in, security, ready, amocrm.server if amocrm else None, pages, settings.language)
        group.start_soon(_open, database, partial(amocrm.announce, announce) if amocrm else None)
        group.start_soon(built.events.hear)
        group.start_soon(built.runs.serve)
        group.start_soon(sign_in.watch)
        if amocrm:
            group.start_soon(amocrm.comparison.serve)
        group.start_soon(_warm_up, built.accounts.shared)
        figures = written and partial(_figures, database, metrics, written)
        yield Replica(app, front, Operations(ready, figures))
        group.cancel_scope.cancel()


async def _figures(database: Database, metrics: Metrics, written: Callable[[], bytes]) -> bytes:
    """The figures as they are now; those of the database as they were last, while it is away."""
    with suppress(StorageUnavailable):
        now = await counts(database)
        metrics.pending.set(now.pending)
        metrics.running.set(now.running)
    return written()


async def _open(database: Database, then: Callable[[], Awaitable[None]] | None) -> None:
    """Open the database as soon as it is there, and do what comes then."""
    for step in (database.open, then):
        while step is not None:
            try:
                await step()
            except StorageUnavailable:
                await anyio.sleep(_RETRY_SECONDS)
            else:
                break


async def _warm_up(account: AmoAccount) -> None:
    """Bring in what the first calls need."""
    tools = [entry.prepare for entry in catalog().values()]
    await warm_up([account.client.prepare, *tools, *call_models()])
