"""Replicas in one process: each as a process of its own would be, on one database and one sandbox."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
from starlette.types import ASGIApp

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.accounts.profile import AccountProfile
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.changes.events import ChangeEvents
from amo_mcp.changes.leases import Asked, Lease
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.plan import Plan, new_id
from amo_mcp.changes.run import Run
from amo_mcp.changes.runs import Runs
from amo_mcp.changes.steps import Create, Delete, Step, Update
from amo_mcp.confirmation.ask import Asker
from amo_mcp.confirmation.page import ApprovalPage
from amo_mcp.listen import listen
from amo_mcp.sandbox import Sandbox
from amo_mcp.server.app import AmoServer
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.journal import PostgresJournal
from amo_mcp.storage.postgres.plans import PostgresPlanStore
from amo_mcp.storage.postgres.runs import PostgresRunStore
from tests.clock import Clock
from tests.conftest import Served, no_tab, session_at
from tests.journeys.lives import Paced

ASKED = Asked("me", "Anna")
KEY = b"k" * 32
TIMEOUT = 20.0

Open = Callable[..., Any]
"""Opens a replica, with the keywords of `replica`."""


class Gate:
    """The way to the sandbox, on which each write waits until it is let through."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._app = sandbox.app
        self.arrived = anyio.Event()
        self.opened = anyio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] != "GET":
            self.arrived.set()
            await self.opened.wait()
        await self._app(scope, receive, send)


@dataclass
class Replica:
    """One replica.

    Attributes:
        runs: works once `serving` is entered.
    """

    account: AmoAccount
    store: PostgresRunStore
    runs: Runs
    sandbox: Sandbox

    @property
    def client(self) -> AmoClient:
        return self.account.client

    def served(self) -> Served:
        """Its MCP server, which asks in dialogs."""
        approvals = MemoryApprovalStore(Clock())
        page = ApprovalPage(partial(listen, "127.0.0.1", 0), no_tab, opens=False, clock=approvals.clock)
        asker = Asker(approvals, page, "dialog", "loopback")
        server = AmoServer(lambda: (self.account, asker), read_only=False, sealing_keys=[KEY], has_tasks=True)
        return Served(server, self.sandbox, approvals, page)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Carry runs on, and take them over, as long as the context lasts."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.runs.serve)
            await anyio.lowlevel.checkpoint()
            yield
            group.cancel_scope.cancel()

    async def steps(self) -> list[Step]:
        """Steps of every action: a renaming, a creation, a deletion."""
        return [
            Update(await self.client.segment(51), SegmentPatch(name="Лучшие")),
            Create(SegmentDraft(name="Гости")),
            Delete(await self.client.segment(66)),
        ]

    async def plan(self, steps: list[Step]) -> PendingChange:
        """A plan that a person has agreed to."""
        plan = Plan(new_id(), 1.8e9, "me", tuple(steps))
        await self.account.plans.keep(plan)
        return PendingChange(plan.steps, plan_id=plan.id)

    async def die_before_sending(self, change: PendingChange, tool: str = "apply_plan") -> Lease:
        """Begin a change, and be gone before anything is sent."""
        executor = await self.account.executor()
        async with executor.begin(tool, change, ASKED) as run:
            return run.lease

    @asynccontextmanager
    async def begun(self, change: PendingChange, tool: str = "apply_plan") -> AsyncIterator[Run]:
        """A change that is begun and can be carried on, as after a pause of any length."""
        executor = await self.account.executor()
        async with executor.begin(tool, change, ASKED) as run:
            yield run

    async def outcomes(self, lease: Lease | str) -> tuple[str, list[str]]:
        """The status of a change, and the outcomes of its steps."""
        record = await self.account.journal.change(lease if isinstance(lease, str) else lease.id)
        assert record is not None
        return record.status, [step.outcome for step in record.steps]


@asynccontextmanager
async def replica(
    sandbox: Sandbox,
    database: Database,
    events: ChangeEvents,
    *,
    app: ASGIApp | None = None,
    seconds: float = 30.0,
    watch_seconds: float = 45.0,
    timeout: float = TIMEOUT,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Replica]:
    """A replica whose leases last so many seconds; with 0 they are over at once, as those of one that died."""

    http = Paced(timeout=timeout, app=app or sandbox.app)
    client = AmoClient(session_at("http://127.0.0.1", http))
    profile = AccountProfile(client)
    store = PostgresRunStore(database, profile.account_id, seconds=seconds)
    journal = PostgresJournal(database, profile.account_id, store)
    plans = PostgresPlanStore(database, profile.account_id)
    account = AmoAccount.of(client, journal, plans, events, profile, clock=clock)
    runs = Runs(store, events, lambda _: account.executor(), account.stop, watch_seconds=watch_seconds)
    try:
        yield Replica(replace(account, runs=runs), store, runs, sandbox)
    finally:
        await http.aclose()
